"""What was computed for a picture or a prompt, kept for the next check of it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class Kept(Generic[T]):
    """The values of the last `size` keys. Safe to use from several threads."""

    def __init__(self, size: int) -> None:
        self._size, self._kept, self._lock = size, OrderedDict[object, T](), threading.Lock()

    def get(self, keys: Sequence[object], make: Callable[[list[int]], Sequence[T]]) -> list[T]:
        """The values of the keys; `make` is given the places of those that are missing."""
        found: dict[int, T] = {}
        with self._lock:
            for place, key in enumerate(keys):
                if key in self._kept:
                    found[place] = self._kept[key]
                    self._kept.move_to_end(key)
        missing = [place for place in range(len(keys)) if place not in found]
        if missing:
            found |= dict(zip(missing, make(missing), strict=True))
            with self._lock:
                for place in missing:
                    self._kept[keys[place]] = found[place]
                while len(self._kept) > self._size:
                    self._kept.popitem(last=False)
        return [found[place] for place in range(len(keys))]

    def one(self, key: object, make: Callable[[], T]) -> T:
        """The value of one key."""
        return self.get([key], lambda _: [make()])[0]
