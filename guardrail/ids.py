"""Names for records: unique, not secret, and cheaper to make than a system call."""

from __future__ import annotations

import os
import random

_numbers = random.Random()  # noqa: S311  not secret
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_numbers.seed)


def record_id() -> str:
    """A new identity of a record: 64 random bits, from a generator of each process's own."""
    return f"gr_{_numbers.getrandbits(64):016x}"
