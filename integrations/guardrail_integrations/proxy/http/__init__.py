"""HTTP/1.1 towards clients, and what both sides have in common: heads, headers, encodings, TLS,
time limits. Knows nothing of calls: it imports interfaces.py alone.
"""
