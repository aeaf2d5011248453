"""One finding for one place: of those that overlap, the first in rank stays."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

T = TypeVar("T")


def without_overlaps(
    hits: Iterable[T], rank: Callable[[T], Any], span: Callable[[T], tuple[int, int]]
) -> list[T]:
    """The hits by position, none overlapping another; a lower `rank` stays. n log n steps."""
    taken: list[tuple[int, int]] = []
    kept: list[T] = []
    for hit in sorted(hits, key=rank):
        start, end = span(hit)
        at = bisect_left(taken, (end, -1))
        if at == 0 or taken[at - 1][1] <= start:
            insort(taken, (start, end))
            kept.append(hit)
    return sorted(kept, key=span)
