"""The sidecar proxy: a policy in front of any model endpoint.

server.py    bytes from clients to Requests, and Answers back to bytes (asyncio, httptools)
app.py       which path is what: a surface, our own endpoints, anything else
guarded.py   one guarded call: its surface, its flow, its upstream
upstream.py  Requests to an upstream, and Responses from it
surfaces/    one file for each API: read a body, write changes back, blocks, streams
"""
