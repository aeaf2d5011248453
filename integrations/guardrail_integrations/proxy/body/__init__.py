"""What bodies hold: JSON and events, the pictures and files in them, and what a surface is that
finds them. Imports verdicts, as what cannot be read is refused.
"""
