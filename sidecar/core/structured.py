"""Lists of named items with parameters, as some headers hold them: `"burst";r=3;t=12, "daily";r=900` (RFC 9651).

The drafts of `RateLimit` changed their form: `limit=100, remaining=3, reset=12` is read as one item without a name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

LONGEST = 2_000  # characters of a header that are looked at
WORD = r'"[^"\\]*"|:[A-Za-z0-9+/=]*:|[A-Za-z0-9_*.:/+-]+'  # a text, bytes, anything else
ITEM = re.compile(rf"\s*({WORD})((?:\s*;\s*[a-z*][a-z0-9_.*-]*(?:=(?:{WORD}))?)*)\s*(?:,|$)")
PAIR = re.compile(rf"\s*([a-z]+)\s*=\s*({WORD})\s*(?:[,;]|$)")
PARAMETER = re.compile(rf";\s*([a-z*][a-z0-9_.*-]*)(?:=({WORD}))?")


class Item(msgspec.Struct, frozen=True):
    """One item of a list. Without a name where the header is of the older form."""

    name: str | None
    parameters: Mapping[str, str]


def items(text: str) -> list[Item]:
    """The items of a header, up to where it makes no sense."""
    text = text[:LONGEST]
    pairs = {match[1]: match[2].strip('"') for match in _matches(PAIR, text)}
    if pairs:
        return [Item(None, pairs)]
    return [
        Item(match[1].strip('"'), {name: value.strip('"') for name, value in PARAMETER.findall(match[2])})
        for match in _matches(ITEM, text)
    ]


def _matches(pattern: re.Pattern[str], text: str) -> list[re.Match[str]]:
    """One behind the other, from the start."""
    found, at = [], 0
    while at < len(text) and (match := pattern.match(text, at)):
        found.append(match)
        at = match.end()
    return found
