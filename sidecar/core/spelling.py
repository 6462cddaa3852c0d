"""How a secret may be written: plain, as JSON, URLs and HTML write it, in base64, in hex.

No encoder changes an ASCII letter or digit. What lacks the longest run of them so lacks the secret, in each of its
spellings; only a text that has the run is searched with a pattern. Every pattern takes time in proportion to the text.
"""

from __future__ import annotations

import base64
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache, cached_property, lru_cache
from html.entities import html5

SHORT = 8  # characters; a shorter secret is found only where it stands alone, and not in base64 or hex
ESCAPED = 16  # characters that stand for one; nobody writes more
ENOUGH = 40  # characters to look for; longer ones are not found faster
DIGITS = re.compile(r"[0-9]+")
KEPT = re.compile(r"[A-Za-z0-9]+")
PARTS = re.compile(r"(\\*)([A-Za-z0-9]+|[^\\]|\Z)", re.DOTALL)
# Each up to three times over: `%2B` and `%252B`, `&#43;` and `&amp;#43;` (`&` is `\u0026` in Go's JSON), `\/`, `\\\/`.
PERCENT = "%(?:25){0,2}"
ENTITY = "(?:&|u0026)(?:amp;){0,2}"
BACKSLASH = rf"(?i:(?:\\|{PERCENT}5c|{ENTITY}(?:#0{{0,5}}92|#x0{{0,5}}5c|bsol);)(?:u005c|x5c)?)"
BACKSLASHES = 8
LATIN = 0xFF  # the last character that some write as one byte
JSON_LETTERS = {"\b": "b", "\t": "t", "\n": "n", "\f": "f", "\r": "r"}
IN_FORMS = {" ": "+"}
IN_FORMS_AND_BASE64 = {" ": "+", "+": "-", "/": "_"}  # RFC 4648 section 5


class Spelling:
    """A word that tells a secret, in all ways to write it. `kept` stands in each of them."""

    def __init__(self, word: str, *, alone: bool = False, cut: bool = False, any_case: bool = False) -> None:
        """`alone`: a part of a longer word is another word. `cut`: base64 without its last character, which depends on
        what follows. `any_case`: hex.
        """
        self.kept = max((DIGITS if any_case else KEPT).findall(word), key=len, default="")[:ENOUGH]
        self._word = word
        self._alone = alone
        self._cut = cut
        self._any_case = any_case

    def __len__(self) -> int:
        """The most characters that it takes."""
        letters = sum(map(len, KEPT.findall(self._word)))
        return letters + (len(self._word) - letters) * ESCAPED

    @cached_property
    def in_text(self) -> re.Pattern[str]:
        return re.compile(self._source)

    @cached_property
    def in_bytes(self) -> re.Pattern[bytes]:
        return re.compile(self._source.encode())

    @cached_property
    def in_name(self) -> re.Pattern[str]:
        """In the name of a header, which has no case."""
        return re.compile(self._source, re.IGNORECASE)

    @property
    def _source(self) -> str:
        if self._any_case:
            return f"(?i:{self._word})"
        if self._alone:
            return rf"(?<![^\W_])(?:{re.escape(self._word)}|{_spelled(self._word, IN_FORMS)})(?![^\W_])"
        base = self._word.rstrip("=")
        if len(base) < SHORT:
            base = self._word
        written = f"(?:{re.escape(self._word)}|{_spelled(base, IN_FORMS_AND_BASE64)})"
        if self._cut:
            return f"{written}[A-Za-z0-9+/_-]?(?:{_spelled('=', {})}){{0,2}}"
        return f"{written}(?:{_spelled('=', {})}){{0,{len(self._word) - len(base)}}}"


def spellings(secret: str) -> Iterator[Spelling]:
    """The words that tell a secret: itself, and in hex and base64, there also as a part of more."""
    if len(secret) < SHORT:
        yield Spelling(secret, alone=True)
        return
    yield Spelling(secret)
    content = secret.encode()
    yield Spelling(content.hex(), any_case=True)
    for before, others in enumerate((0, 2, 3)):  # bytes before it, and the characters that they have a part in
        code = base64.b64encode(bytes(before) + content).decode().rstrip("=")
        cut = (before + len(content)) % 3 > 0
        yield Spelling(code[others : len(code) - cut], cut=cut)


def _spelled(word: str, also: Mapping[str, str]) -> str:
    return "".join(_part(len(match[1]), match[2], also) for match in PARTS.finditer(word))


def _part(backslashes: int, rest: str, also: Mapping[str, str]) -> str:
    """Backslashes of the word with those that escape what follows, and what follows. They are not given back: what
    follows begins with none.
    """
    if not backslashes and KEPT.match(rest):
        return rest
    escaped = bool(rest) and not KEPT.match(rest)
    one = r"\\" if rest == "%" and not backslashes else BACKSLASH  # the secret itself may have `%5C`
    run = f"{one}{{{backslashes},{BACKSLASHES * (backslashes + escaped)}}}+"
    return run + (_character(rest, also.get(rest)) if escaped else rest)


@lru_cache(maxsize=1_024)
def _character(char: str, also: str | None) -> str:
    """One that is neither letter nor digit, without the backslashes before it."""
    number, units = ord(char), char.encode("utf-16-be").hex(" ", 2).split()
    ways = [
        f"{BACKSLASH}{{1,{BACKSLASHES}}}+".join(f"u{unit}" for unit in units),
        *(f"{prefix}{number:02x}" for prefix in (PERCENT, "x") if number <= LATIN),
    ]
    ways += ["".join(f"{PERCENT}{byte:02x}" for byte in char.encode())]
    names = [re.escape(name) for name in _entities()[char]]
    ways += [f"{ENTITY}(?:{'|'.join([f'#0{{0,5}}{number}', f'#x0{{0,5}}{number:x}', *names])});"]
    plain = [re.escape(one) for one in (char, also, JSON_LETTERS.get(char)) if one]
    return f"(?:(?i:{'|'.join(ways)})|{'|'.join(plain)})"


@cache
def _entities() -> dict[str, list[str]]:
    """HTML's names of characters."""
    names: dict[str, list[str]] = defaultdict(list)
    for name, char in html5.items():
        if name.endswith(";"):
            names[char].append(name[:-1])
    return names
