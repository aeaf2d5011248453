"""What an answer tells of itself, where no rule looks at its texts: read when it is asked for."""

from __future__ import annotations

from guardrail import ContentError, Limits, Usage
from guardrail.hosting import Reply, Role
from guardrail_integrations.proxy.compression import Unreadable, decompressed
from guardrail_integrations.proxy.found import Found
from guardrail_integrations.proxy.json_body import BadJson, JsonBody, Path, read_json
from guardrail_integrations.proxy.pictures import Pictures
from guardrail_integrations.proxy.surface import Surface

LATER = 16 << 10  # bytes that may be kept until they are read behind the call
_LIMITS, _NO_PICTURES = Limits(), Pictures()


class TellingReply(Reply):
    """An answer as it came, whose JSON is read where its usage is asked for: behind the call."""

    raw: bytes
    encoding: bytes
    surface: Surface
    limit: int

    @classmethod
    def of(cls, raw: bytes, encoding: bytes, surface: Surface, limit: int) -> TellingReply:
        """An answer in this encoding, of at most so many bytes once that is taken off."""
        reply = object.__new__(cls)
        reply.__dict__.update(raw=raw, encoding=encoding, surface=surface, limit=limit)
        if len(raw) > LATER:
            _ = reply._told
        return reply

    @property
    def _told(self) -> Told | None:
        kept = self.__dict__
        if "told" not in kept:
            kept["told"] = self._read()
            kept["raw"] = b""
        told: Told | None = kept["told"]
        return told

    def _read(self) -> Told | None:
        try:
            raw = self.raw
            if self.encoding:
                raw = decompressed(raw, self.encoding, self.limit)
            told = Told(read_json(raw))
            if isinstance(told.body.root, dict):
                self.surface.answer(told.body.root, told)
        except (BadJson, Unreadable, ContentError):
            return None
        return told

    @property
    def usage(self) -> Usage:
        """See Reply."""
        return Usage() if self._told is None else self._told.usage

    @property
    def finish_reason(self) -> str | None:
        """See Reply."""
        return None if self._told is None else self._told.finish_reason

    @property
    def model(self) -> str | None:
        """See Reply."""
        return self._named("model")

    @property
    def response_id(self) -> str | None:
        """See Reply."""
        return self._named("id")

    def _named(self, key: str) -> str | None:
        root = None if self._told is None else self._told.body.root
        value = root.get(key) if isinstance(root, dict) else None
        return value if isinstance(value, str) else None


class Told(Found):
    """Keeps only what an answer tells of itself."""

    def __init__(self, body: JsonBody) -> None:
        super().__init__(body, _LIMITS, _NO_PICTURES)

    def text(self, value: object, path: Path, role: Role = "user", source: str = "typed") -> None:
        """See Found."""

    def rest(self, value: object, path: Path, role: Role = "user", source: str = "typed") -> None:
        """See Found."""

    def picture_url(
        self, value: object, path: Path, role: Role = "user", source: str = "typed"
    ) -> None:
        """See Found."""

    def picture_base64(
        self, value: str, path: Path, type_path: Path | None, role: Role, source: str
    ) -> None:
        """See Found."""
