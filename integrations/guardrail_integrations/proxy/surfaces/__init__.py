"""The APIs that the proxy can read: one module each, with a `surface`. A new file is a new one.
They import formats and reading.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from importlib import import_module
from pkgutil import iter_modules
from urllib.parse import unquote

from guardrail_integrations.proxy.reading.surface import Surface

_END = re.compile(r"[?#]")  # of a path


@cache
def surfaces() -> tuple[Surface, ...]:
    """All surfaces, those with the longest paths first."""
    modules = [
        import_module(f"{__name__}.{module.name}")
        for module in iter_modules(__path__)
        if not module.name.startswith("_")
    ]
    found: list[Surface] = [module.surface for module in modules]
    return tuple(sorted(found, key=lambda surface: -len(surface.path)))


@cache
def _suffixes() -> tuple[tuple[str, Surface], ...]:
    return tuple((surface.path, surface) for surface in surfaces())


@lru_cache(maxsize=1_000)
def surface_of(path: str) -> Surface | None:
    """The surface that a request's path leads to, however the path is written.

    Azure and gateways put paths of their own before the last segments; upstreams decode escapes,
    pass over doubled and closing slashes, fragments and parameters, take dots for steps and
    backslashes for slashes, and so does this.
    """
    ways = (
        _plain(path),
        _plain(unquote(path).partition(";")[0]),
    )  # parameters of a step, or of all
    for suffix, surface in _suffixes():
        if any(plain.endswith(suffix) for plain in ways):
            return surface
    return None


@lru_cache(maxsize=1_000)
def stored_on(method: bytes, path: str) -> Surface | None:
    """The surface whose kept answer a request is answered with: by its id, behind the surface's
    path. One that changes it, or cancels its making, is answered with it as well."""
    plain = _plain(path)
    if method == b"POST":
        plain = plain.removesuffix("/cancel")
    holder = plain.rpartition("/")[0]
    found = surface_of(holder) if method in (b"GET", b"POST") else None
    return found if found is not None and found.keeps_answers else None


def _plain(path: str) -> str:
    pieces: list[str] = []
    reached = _END.split(unquote(path).lower())[0].replace("\\", "/")
    for segment in reached.split("/"):
        piece = segment.partition(";")[0]
        if piece == "..":
            pieces = pieces[:-1]
        elif piece not in ("", "."):
            pieces.append(piece)
    return "/" + "/".join(pieces)
