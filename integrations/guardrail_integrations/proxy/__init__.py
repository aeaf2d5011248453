"""The sidecar proxy: a policy in front of any model endpoint.

How a call goes through it:

listener.py       clients' connections; http_server.py: one of them, its bytes to Exchanges
                  (exchange.py) and answers back to bytes; request_head.py: what heads may be
app.py            which path is what: a surface, our own endpoints.py, anything else (forward.py)
request_state.py  what is known of a request, from here until it is told of
capacity.py       what is under way and held in memory; request_body.py, answer_body.py: bodies
                  within it, unpacked (compression.py) and read
guarded.py        one guarded call: its surface, its flow, its upstream
  surfaces/       one file for each API: read a body, write changes back, blocks, streams
  surface.py      what a surface is; extraction.py, deltas.py read and write for it
  json_body.py    a body, read once; json_splice.py: what changes in it; data_urls.py
  files.py        what a call only names, and its files; pictures.py: pictures known again
  attachments.py  gets and reads them: fetch.py (addresses.py), file_ids.py
  streaming.py    a streamed answer on its way, event by event (sse.py)
upstream.py       Requests to an upstream, and Responses from it
  upstream_connection.py: one connection; upstream_answer.py: an answer as far as it has come
refusals.py       why there is no answer; proxy_rules.py: the proxy's own decisions, in the record
backlog.py        what is told of calls behind them: metrics.py, tracing.py, reply_metadata.py

serve.py          a proxy that listens; worker.py: a process of it, with signals and reloads
supervisor.py     `guardrail serve`: one worker or several, as options.py says; access_log.py
settings.py       how it is set up (timeouts.py); configuration.py: from a file
readiness.py      whether its checks work
"""

from guardrail_integrations.proxy.serve import Server, bound, serving
from guardrail_integrations.proxy.settings import Route, Settings, Target

__all__ = ["Route", "Server", "Settings", "Target", "bound", "serving"]
