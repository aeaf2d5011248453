"""A typed answer through the OpenAI client, against a small local server that gets it wrong once.

With a real endpoint, leave out the server and its `base_url`. It prints:

    asked for Receipt, strict: True
    asked for Receipt, strict: True
    told: - $.total: a number is expected
    Receipt(vendor='Hof Café', items=['tea', 'cake'], total=6.5)
"""

import json
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from openai import OpenAI

from guardrail import Guard
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


class Model(BaseHTTPRequestHandler):
    """Answers with the next of ANSWERS, and prints what it was asked for."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        form = asked["response_format"]["json_schema"]
        print(f"asked for {form['name']}, strict: {form['strict']}")
        told = asked["messages"][-1]["content"].splitlines()
        if len(told) > 1:
            print("told:", told[-1])
        message = {"role": "assistant", "content": ANSWERS.pop(0)}
        body = json.dumps(
            {
                "id": "chatcmpl-1",
                "object": "chat.completion",
                "created": 0,
                "model": asked["model"],
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            }
        ).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


server = ThreadingHTTPServer(("127.0.0.1", 0), Model)
threading.Thread(target=server.serve_forever, daemon=True).start()
client = OpenAI(base_url=f"http://127.0.0.1:{server.server_port}/v1", api_key="none")

guard = Guard("default")
read = guard(client.chat.completions.create, output=Receipt)

receipt = read(
    model="local-vlm",
    messages=[{"role": "user", "content": "What is on this receipt?"}],
    **output_request(Receipt, "openai"),
)
print(receipt)
server.shutdown()
