"""The sidecar proxy: a policy in front of any model endpoint.

How a call goes through it:

http/       listener.py: clients' connections; connection.py: one of them, its bytes to Exchanges
            (exchange.py) and answers back to bytes; request_head.py: what heads may be
server/     app.py: which path is what: a surface, one of our own endpoints.py, or any other
call/       request_state.py: what is known of a request, from here until it is told of
            request_body.py, answer_body.py: bodies, received and read within capacity.py;
            gathering.py: a body as it comes
            attachments.py: gets what a call only names (file_ids.py), and reads its files
            guarded.py: one guarded call: its surface, its flow, its upstream
            streaming.py: a streamed answer on its way; reply_metadata.py: what answers tell
            forward.py: requests to an upstream, and answers back, of whatever kind
surfaces/   one file for each API: read a body, write changes back, blocks, streams
reading/    surface.py: what a surface is; extraction.py, deltas.py: read and write for it
formats/    json_body.py: a body, read once; json_splice.py: what changes in it; sse.py: events
media/      data_urls.py; pictures.py: pictures known again; files.py: PDFs and others
upstream/   pool.py: Requests to an upstream, and Responses from it; connection.py: one
            connection; answer.py: an answer as far as it has come; fetch.py: safe fetches
verdicts/   refusals.py: why there is no answer; proxy_rules.py: the proxy's own decisions, in
            the record; headers.py: what clients are told of a call that went on
telemetry/  backlog.py: what is told of calls, behind them: metrics.py, tracing.py; access_log.py

How it is run:

server/     serve.py: a proxy that listens; worker.py: a process of it, with signals and reloads
            supervisor.py: `guardrail serve`: one worker or several, as options.py says
            configuration.py: settings from a file; readiness.py: whether its checks work
settings.py, interfaces.py: how it is set up, and what its parts hand to each other

Each imports only what stands before it here, but for the names of types:
interfaces, http, upstream, settings, verdicts, formats, media, reading, surfaces, telemetry,
call, server.
"""

from guardrail_integrations.proxy.server.serve import Server, bound, serving
from guardrail_integrations.proxy.settings import Route, Settings, Target

__all__ = ["Route", "Server", "Settings", "Target", "bound", "serving"]
