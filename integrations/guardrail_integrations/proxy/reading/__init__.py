"""What a surface is, and how it reads a body or the deltas of a stream and writes changes back.
Imports formats and media.
"""
