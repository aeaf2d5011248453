"""One call, from its body to the answer's. Imports http, verdicts, body and telemetry; guarded.py
names the Proxy of server/app.py in its types.
"""
