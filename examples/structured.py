"""A typed answer through the OpenAI client, from a local endpoint that gets it wrong once.

With a real one, leave out `ScriptedEndpoint` and the client's `base_url`. It prints:

    asked for Receipt, strict: True
    asked for Receipt, strict: True
    told: - $.total: a number is expected
    Receipt(vendor='Hof Café', items=['tea', 'cake'], total=6.5)
"""

from dataclasses import dataclass

from openai import OpenAI

from guardrail import Guard
from guardrail.testing import ScriptedEndpoint
from guardrail_integrations.structured import output_request


@dataclass
class Receipt:
    vendor: str
    items: list[str]
    total: float


ANSWERS = [
    '{"vendor": "Hof Café", "items": ["tea", "cake"], "total": "six"}',
    '{"vendor": "Hof Café", "items": ["tea", "cake"], "total": 6.5}',
]

guard = Guard("default")

with ScriptedEndpoint(ANSWERS) as model:
    client = OpenAI(base_url=model.url, api_key="none")
    read = guard(client.chat.completions.create, output=Receipt)
    receipt = read(
        model="local-vlm",
        messages=[{"role": "user", "content": "What is on this receipt?"}],
        **output_request(Receipt, "openai"),
    )

for asked in model.asked:
    form = asked["response_format"]["json_schema"]
    print(f"asked for {form['name']}, strict: {form['strict']}")
    _, *told = asked["messages"][-1]["content"].splitlines()
    if told:
        print("told:", told[-1])
print(receipt)
