"""The formats of bodies: JSON, read once and changed in place, and server-sent events. Imports
verdicts, as what cannot be read is refused.
"""
