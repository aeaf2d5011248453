"""The sidecar proxy: a policy in front of any model endpoint.

http_server.py  bytes from clients to Exchanges (exchange.py), and answers back to bytes
app.py          which path is what: a surface, our own endpoints, anything else
guarded.py      one guarded call: its surface, its flow, its upstream
upstream.py     Requests to an upstream, and Responses from it
surfaces/       one file for each API: read a body, write changes back, blocks, streams
serve.py        a proxy that listens; workers.py: as processes, with signals and reloads
"""

from guardrail_integrations.proxy.serve import Server, bound, serving
from guardrail_integrations.proxy.settings import Route, Settings, Target

__all__ = ["Route", "Server", "Settings", "Target", "bound", "serving"]
