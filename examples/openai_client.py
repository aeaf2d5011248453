"""The OpenAI client, guarded, against a small local server that answers like a model.

With a real endpoint, leave out the server and its `base_url`. It prints:

    the model gets:  My card is [CARD]. Where to?
    the caller gets: Of course. Send the money to [IBAN].
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from openai import OpenAI

from guardrail import Guard

ANSWER = "Of course. Send the money to DE89 3704 0044 0532 0130 00."


class Model(BaseHTTPRequestHandler):
    """Answers every chat completion with the same sentence, and prints what it was asked."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        print("the model gets: ", asked["messages"][-1]["content"][0]["text"])
        message = {"role": "assistant", "content": ANSWER}
        body = json.dumps(
            {
                "id": "chatcmpl-1",
                "object": "chat.completion",
                "created": 0,
                "model": asked["model"],
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 30, "completion_tokens": 15, "total_tokens": 45},
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
chat = guard(client.chat.completions.create)

completion = chat(
    model="local-vlm",
    messages=[
        {
            "role": "user",
            "content": [{"type": "text", "text": "My card is 4111 1111 1111 1111. Where to?"}],
        }
    ],
)
print("the caller gets:", completion.choices[0].message.content)
server.shutdown()
