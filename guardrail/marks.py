"""Marks for system prompts, to be recognised should they ever be answered."""

from __future__ import annotations

import secrets


def canary() -> str:
    """A fresh mark to put into a system prompt; the check `system_prompt` knows it by its form."""
    return f"gr-canary-{secrets.token_hex(8)}"
