"""One call, from its body to the answer's. Imports http, verdicts, formats, media, reading and
telemetry; guarded.py names the Proxy of server/app.py in its types.
"""
