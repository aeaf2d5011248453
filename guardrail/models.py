"""Weights that are fetched on purpose, checked, and kept in a folder of the user's.

Nothing here is called by a check: a check without its weights is not run, and says which command
fetches them. A folder may be copied to a machine without network as it is.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from guardrail.errors import GuardrailError, NotRun

MANIFEST = "guardrail-model.json"
BLOCK = 1 << 20
TIMEOUT_S = 60.0
_NAME = re.compile(r"[A-Za-z0-9][\w.+-]*(/[A-Za-z0-9][\w.+-]*)*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LINKED = ("X-Linked-Etag", "ETag")  # a hub tells the sha256 of a large file in its redirect


class ModelError(GuardrailError):
    """Weights cannot be fetched, or are not what they should be."""


@dataclass(frozen=True)
class Source:
    """A file of a model. Without `sha256` the one that the server declares is held against it.
    An `optional` file may be missing on the server."""

    url: str
    file: str
    sha256: str | None = None
    optional: bool = False


def models_home() -> Path:
    """$GUARDRAIL_MODELS, or `guardrail/models` in the XDG data folder."""
    if named := os.environ.get("GUARDRAIL_MODELS"):
        return Path(named)
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data) / "guardrail" / "models"


def model_folder(name: str) -> Path:
    """The folder of a pulled model; NotRun with the command that fetches it."""
    folder = models_home() / name
    if not (folder / MANIFEST).is_file():
        raise NotRun(f"no weights of {name} here: guardrail models pull {name}")
    return folder


def file_of(folder: Path, endings: Sequence[str]) -> Path:
    """The file of weights in a folder, the first ending first; NotRun where there is none."""
    for ending in endings:
        for path in sorted(folder.glob(f"*{ending}")):
            return path
    raise NotRun(f"no weights ({', '.join(endings)}) in the folder {folder.name}")


def sources_of(name: str) -> list[Source]:
    """Where a model's files are, as the package says that knows the first part of its name.

    Packages register a function of the rest of the name under the entry-point group
    `guardrail.models`. Raises ModelError for a name that nobody knows.
    """
    kind, _, rest = name.partition("/")
    for point in entry_points(group="guardrail.models"):
        if point.name == kind:
            found: list[Source] = point.load()(rest)
            return found
    kinds = ", ".join(sorted(point.name for point in entry_points(group="guardrail.models")))
    raise ModelError(f"there is no model {name!r}; names begin with {kinds}, or give --url")


def pull(
    name: str, sources: Sequence[Source], told: Callable[[str, int, int | None], None]
) -> Path:
    """Fetch a model's files, check them, and write the manifest last; returns the folder.

    `told` is called with file, bytes so far and bytes in all (None where the server does not
    say). A file that is there already and has the right sha256 is kept. Raises ModelError.
    """
    if not _NAME.fullmatch(name) or ".." in name:
        raise ModelError(f"{name!r} is no name of a model")
    folder = models_home() / name
    folder.mkdir(parents=True, exist_ok=True)
    kept: dict[str, Any] = {}
    for source in sources:
        path = folder / source.file
        if path.parent != folder:
            raise ModelError(f"{source.file!r} is no file name")
        fetched = _fetch(source, path, told)
        if fetched is not None:
            kept[source.file] = fetched
    manifest = {"name": name, "files": kept}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", "utf-8")
    return folder


def pulled() -> Iterator[tuple[str, Path]]:
    """The models that are here, by name."""
    home = models_home()
    for manifest in sorted(home.rglob(MANIFEST)):
        yield manifest.parent.relative_to(home).as_posix(), manifest.parent


def damage(folder: Path) -> list[str]:
    """What is wrong with a pulled model: files that are missing or have changed."""
    try:
        files = json.loads((folder / MANIFEST).read_text("utf-8"))["files"]
    except (OSError, ValueError, KeyError):
        return [f"{MANIFEST} cannot be read"]
    wrong = []
    for file, facts in files.items():
        path = folder / file
        if not path.is_file():
            wrong.append(f"{file} is missing")
        elif _sha256(path) != facts["sha256"]:
            wrong.append(f"{file} is not what was fetched")
    return wrong


def _fetch(
    source: Source, path: Path, told: Callable[[str, int, int | None], None]
) -> dict[str, Any] | None:
    from urllib.request import HTTPRedirectHandler, Request, build_opener

    declared: list[str] = []

    class Redirects(HTTPRedirectHandler):
        """Follows redirects and keeps what they said of the file."""

        def redirect_request(
            self, req: Any, fp: Any, code: Any, msg: Any, headers: Any, newurl: Any
        ) -> Any:
            declared.extend(value for key in _LINKED if (value := headers.get(key)))
            return super().redirect_request(req, fp, code, msg, headers, newurl)

    if urlsplit(source.url).scheme not in ("http", "https"):
        raise ModelError(f"{source.file}: only http and https addresses are fetched")
    if source.sha256 and path.is_file() and _sha256(path) == source.sha256:
        return _facts(source, path.stat().st_size, source.sha256, checked=True)
    part = path.with_name(f"{path.name}.part")
    try:
        opened = build_opener(Redirects()).open(Request(source.url), timeout=TIMEOUT_S)  # noqa: S310
        with opened as answer, part.open("wb") as out:
            declared.extend(value for key in _LINKED if (value := answer.headers.get(key)))
            length = answer.headers.get("Content-Length")
            size, digest = 0, sha256()
            while block := answer.read(BLOCK):
                out.write(block)
                digest.update(block)
                size += len(block)
                told(source.file, size, int(length) if length else None)
    except (OSError, ValueError) as error:
        part.unlink(missing_ok=True)
        if source.optional and getattr(error, "code", None) == 404:
            return None
        reason = getattr(error, "code", None) or _reason(error)
        raise ModelError(f"{source.file} cannot be fetched ({reason})") from None
    digests = (value.strip('W/"') for value in declared)
    expected = source.sha256 or next((one for one in digests if _SHA256.fullmatch(one)), None)
    if length and size != int(length):
        part.unlink()
        raise ModelError(f"{source.file}: {size} bytes came of {length}")
    if expected and digest.hexdigest() != expected:
        part.unlink()
        raise ModelError(f"{source.file} has the sha256 {digest.hexdigest()}, not {expected}")
    part.replace(path)
    return _facts(source, size, digest.hexdigest(), checked=expected is not None)


def _reason(error: Exception) -> str:
    """Why a file could not be fetched: an OSError's own words, also where urllib wraps one."""
    within = getattr(error, "reason", None)
    cause = within if isinstance(within, Exception) else error
    return getattr(cause, "strerror", None) or str(within or "") or type(error).__name__


def _facts(source: Source, size: int, digest: str, *, checked: bool) -> dict[str, Any]:
    return {"url": source.url, "bytes": size, "sha256": digest, "checked": checked}


def _sha256(path: Path) -> str:
    digest = sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
