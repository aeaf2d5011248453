"""Addresses in a text that may be shown as Markdown or HTML, and how they would be fetched."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import NamedTuple

from guardrail_detectors.overlaps import without_overlaps

MAX_URL = 8_192  # characters
QUICK = 4_096  # characters that are looked at at once
BACK = 1_000  # characters of a link's text

_DESTINATION = (
    rf"(?:<([^<>\n]{{1,{MAX_URL}}}+)>|((?:[^\s()<>]|\([^\s()<>]{{0,500}}\)){{1,{MAX_URL}}}))"
)
_INLINE = re.compile(
    rf"\]\([ \t\n]{{0,9}}+{_DESTINATION}(?:[ \t\n]++[\"'(][^\n]{{0,300}}?[\"')])?[ \t\n]{{0,9}}+\)"
)
_DEFINITION = re.compile(
    rf"^[ \t>]{{0,9}}\[([^\[\]\n]{{1,200}}+)\]:[ \t]{{0,9}}+\n?[ \t]{{0,9}}+{_DESTINATION}", re.M
)
_PICTURE_BY_NAME = re.compile(r"!\[([^\[\]\n]{0,500}+)\](?:\[([^\[\]\n]{0,200}+)\])?(?!\()")
_LINK_BY_NAME = re.compile(r"(?<!!)\[([^\[\]\n]{0,500}+)\](?:\[([^\[\]\n]{0,200}+)\])?(?![(:])")
_TAG = re.compile(rf"<([a-zA-Z][\w:-]{{0,30}}+)(?=[\s/])([^<>]{{1,{MAX_URL}}}+)>?")
_ATTRIBUTE = re.compile(
    r"([\w:-]{1,40}+)\s{0,9}+=\s{0,9}+(?:\"([^\"]*+)\"|'([^']*+)'|([^\s\"'<>]++))"
)
_STYLE = re.compile(rf"url\(\s{{0,9}}+[\"']?([^\"'()\s]{{1,{MAX_URL}}}+)", re.I)
_BARE = re.compile(
    rf"(?:https?:|ftp:|wss?:)?//[^\s<>\"'`{{}}|\\^]{{1,{MAX_URL}}}+|\bwww\.[^\s<>\"'`{{}}|\\^]{{1,{MAX_URL}}}+|\bmailto:[^\s<>\"'`]{{1,{MAX_URL}}}+",
    re.I,
)
_SCHEME = re.compile(r"(?:https?|ftp|wss?):|//|www\.|mailto:", re.I)
_FETCHED = {"src", "srcset", "poster", "background", "data", "lowsrc", "dynsrc", "xlink:href"}
_FOLLOWED = {"href", "action", "formaction", "cite", "ping"}
_HREF_IS_FETCHED = {"link", "image", "use", "feimage", "base"}
_TRAILING = ".,;:!?'\"*_~"
_PAIRS = {")": "(", "]": "["}


class Link(NamedTuple):
    """An address at `start` to `end`. Whoever shows the text fetches it unasked if `loads`.

    `whole_start` to `whole_end` is the mark-up that it stands in.
    """

    start: int
    end: int
    url: str
    loads: bool
    whole_start: int
    whole_end: int


def holds_no_link(text: str) -> bool:
    """Whether a text has nothing that an address begins with, not even in escapes."""
    return len(text) <= QUICK and "&" not in text and _SCHEME.search(text) is None


def links(text: str) -> list[Link]:
    """The links of a text by position, none inside another."""
    found = [*_tags(text), *_inline(text), *_defined(text), *_styles(text), *_bare(text)]
    return without_overlaps(
        (link for link in found if _SCHEME.match(link.url)),
        rank=lambda link: (not link.loads, link.start - link.end),
        span=lambda link: (link.start, link.end),
    )


def _inline(text: str) -> Iterator[Link]:
    for match in _INLINE.finditer(text):
        group = 1 if match[1] is not None else 2
        opened = _opening(text, match.start())
        loads = opened > 0 and text[opened - 1] == "!"
        start = match.start(group) if opened < 0 else opened - loads
        url = html.unescape(match[group])
        yield Link(match.start(group), match.end(group), url, loads, start, match.end())


def _opening(text: str, closing: int) -> int:
    """Where the bracket opens that closes there, or -1."""
    depth = 0
    for at in range(closing - 1, max(-1, closing - BACK), -1):
        if text[at] == "]":
            depth += 1
        elif text[at] == "[":
            if depth == 0:
                return at
            depth -= 1
    return -1


def _defined(text: str) -> Iterator[Link]:
    definitions = list(_DEFINITION.finditer(text))
    if not definitions:
        return
    shown = {_name(match) for match in _PICTURE_BY_NAME.finditer(text)}
    followed = {_name(match) for match in _LINK_BY_NAME.finditer(text)}
    for match in definitions:
        name = " ".join(match[1].split()).casefold()
        group = 2 if match[2] is not None else 3
        loads = name in shown or name not in followed
        url = html.unescape(match[group])
        yield Link(match.start(group), match.end(group), url, loads, *match.span(group))


def _name(match: re.Match[str]) -> str:
    return " ".join((match[2] or match[1]).split()).casefold()


def _tags(text: str) -> Iterator[Link]:
    for tag in _TAG.finditer(text):
        name = tag[1].lower()
        for attribute in _ATTRIBUTE.finditer(tag[2]):
            key = attribute[1].lower()
            group = next(number for number in (2, 3, 4) if attribute[number] is not None)
            value = html.unescape(attribute[group])
            if name == "meta" and key == "content":
                _, _, value = value.partition("url=")
            elif key == "srcset":
                value = value.split()[0] if value.split() else ""
            elif key not in _FETCHED | _FOLLOWED:
                continue
            loads = key in _FETCHED or name in _HREF_IS_FETCHED or name == "meta"
            start, end = (tag.start(2) + at for at in attribute.span(group))
            whole = tag.span() if loads else (start, end)
            yield Link(start, end, value.strip(), loads, *whole)


def _styles(text: str) -> Iterator[Link]:
    for match in _STYLE.finditer(text):
        yield Link(*match.span(1), html.unescape(match[1]), True, *match.span(1))


def _bare(text: str) -> Iterator[Link]:
    for match in _BARE.finditer(text):
        url = match[0]
        while url and (url[-1] in _TRAILING or _unpaired(url)):
            url = url[:-1]
        if url:
            end = match.start() + len(url)
            yield Link(match.start(), end, html.unescape(url), False, match.start(), end)


def _unpaired(url: str) -> bool:
    opening = _PAIRS.get(url[-1])
    return opening is not None and url.count(opening) < url.count(url[-1])
