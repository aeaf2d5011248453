"""What is told of calls: the access log, metrics and traces, and the backlog that they wait in.
Imports http; metrics.py names the Proxy of server/app.py in its types.
"""
