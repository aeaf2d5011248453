"""The OpenAI client, guarded, against a small local endpoint that answers like a model.

With a real one, leave out `ScriptedEndpoint` and the client's `base_url`. It prints:

    the model gets:  My card is [CARD]. Where to?
    the caller gets: Of course. Send the money to [IBAN].
"""

from openai import OpenAI

from guardrail import Guard
from guardrail.testing import ScriptedEndpoint

guard = Guard("default")

with ScriptedEndpoint(["Of course. Send the money to DE89 3704 0044 0532 0130 00."]) as model:
    client = OpenAI(base_url=model.url, api_key="none")
    chat = guard(client.chat.completions.create)

    text = {"type": "text", "text": "My card is 4111 1111 1111 1111. Where to?"}
    completion = chat(model="local-vlm", messages=[{"role": "user", "content": [text]}])

print("the model gets: ", model.asked[0]["messages"][-1]["content"][0]["text"])
print("the caller gets:", completion.choices[0].message.content)
