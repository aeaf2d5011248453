"""Names in a policy to detectors and extractors: by entry point, or given in Python."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Literal, get_type_hints

from guardrail.detector import Detector, DetectorFactory, Extractor, ExtractorFactory

if TYPE_CHECKING:
    from pydantic import BaseModel

Kind = Literal["detector", "extractor"]


class UnknownPlugin(KeyError):
    """No plug-in has this name."""


@cache
def _installed(kind: Kind) -> Mapping[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=f"guardrail.{kind}s")}


class Registry:
    """The plug-ins a policy may name: those of installed packages, and those given here."""

    def __init__(
        self,
        detectors: Mapping[str, DetectorFactory] | None = None,
        extractors: Mapping[str, ExtractorFactory] | None = None,
    ) -> None:
        self._given: dict[Kind, Mapping[str, Callable[..., Any]]] = {
            "detector": dict(detectors or {}),
            "extractor": dict(extractors or {}),
        }

    def names(self, kind: Kind) -> list[str]:
        """All names of a kind, sorted."""
        return sorted({*_installed(kind), *self._given[kind]})

    def factory(self, kind: Kind, name: str) -> Callable[..., Any]:
        """The factory of a name. Raises UnknownPlugin, or what importing its package raises."""
        if name in self._given[kind]:
            return self._given[kind][name]
        try:
            point = _installed(kind)[name]
        except KeyError:
            raise UnknownPlugin(name) from None
        factory: Callable[..., Any] = point.load()
        return factory

    def arguments(self, kind: Kind, name: str) -> type[BaseModel]:
        """The arguments of a plug-in as a pydantic model, from its factory's signature."""
        return _arguments(self.factory(kind, name))

    def detector(self, name: str, arguments: Mapping[str, Any]) -> Detector:
        """Build a detector; ValueErrors are the factory's own."""
        made: Detector = self.factory("detector", name)(**arguments)
        return made

    def extractor(self, name: str, arguments: Mapping[str, Any]) -> Extractor:
        """Build an extractor; ValueErrors are the factory's own."""
        made: Extractor = self.factory("extractor", name)(**arguments)
        return made


@cache
def _arguments(factory: Callable[..., Any]) -> type[BaseModel]:
    from pydantic import ConfigDict, create_model

    hints = get_type_hints(factory)
    fields: dict[str, Any] = {
        name: (hints.get(name, Any), ... if p.default is p.empty else p.default)
        for name, p in inspect.signature(factory).parameters.items()
    }
    name = getattr(factory, "__name__", "arguments")
    return create_model(name, __config__=ConfigDict(extra="forbid", strict=True), **fields)
