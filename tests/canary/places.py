"""Where a secret could be seen, and the search through all of it."""

from __future__ import annotations

import gc
import io
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from nats.aio.client import Client
from nats.aio.msg import Msg

from sidecar.log import JsonLines, TextLines
from tests.canary.tattler import forms

OURS = ("sidecar.", "connectors.")
OF_THE_TEST = ("httpx", "httpcore")  # its browser's clients; a sidecar has no client of HTTPX


@dataclass
class Places:
    """What was seen, by place: each an entry of text or bytes."""

    seen: dict[str, list[bytes]] = field(default_factory=dict)

    def note(self, place: str, content: str | bytes) -> None:
        raw = content if isinstance(content, bytes) else content.encode(errors="backslashreplace")
        self.seen.setdefault(place, []).append(raw)

    def leaks(self, secrets: Iterable[str]) -> list[str]:
        """Each place that shows one, with what stands around it; of the secret its first letters."""
        wanted = {form.encode(): secret for secret in secrets for form in forms(secret)}
        found: list[str] = []
        for place, entries in self.seen.items():
            text = b"\n".join(dict.fromkeys(entries))  # most is seen again and again
            for form, secret in wanted.items():
                at = text.find(form)
                if at >= 0:
                    before = text[max(0, at - 120) : at].decode(errors="replace")
                    found.append(f"{place}: ...{before}[{secret[:10]}...]")
        return found


@contextmanager
def logged(places: Places) -> Iterator[None]:
    """Everything that anything logs, at every level, as our two formatters write it."""
    streams = {"log in JSON": io.StringIO(), "log in text": io.StringIO()}
    root, level = logging.getLogger(), logging.getLogger().level
    handlers = [logging.StreamHandler(stream) for stream in streams.values()]
    handlers[0].setFormatter(JsonLines())
    handlers[1].setFormatter(TextLines())
    for handler in handlers:
        handler.addFilter(lambda record: not record.name.startswith(OF_THE_TEST))
        root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        root.setLevel(level)
        for handler in handlers:
            root.removeHandler(handler)
        for place, stream in streams.items():
            places.note(place, stream.getvalue())


async def overheard(client: Client, places: Places, ours: set[str]) -> None:
    """Everything that goes over NATS from now on, but for what the test itself sends to the subjects of `ours`."""

    async def note(message: Msg) -> None:
        if message.subject in ours:
            return
        kind = message.subject.split(".")[0:2]
        place = f"NATS {'.'.join(kind)}" if kind[0] in {"sidecar", "$KV"} else "NATS"
        places.note(place, message.subject)
        places.note(place, message.data)
        places.note(place, str(message.headers or ""))

    await client.subscribe(">", cb=note)
    await client.flush()


def remembered(places: Places) -> None:
    """What `repr` and `str` say of every value of ours that is alive now, and of what those refer to."""
    for thing in _ours():
        try:
            words = f"{thing!r} {thing!s}"
        except Exception as error:  # noqa: BLE001 - a value half made; what it says is still looked at
            words = str(error)
        places.note(f"repr of {type(thing).__module__}.{type(thing).__name__}", words)


def _ours() -> Iterator[object]:
    """Instances of our classes. The collector does not know those that hold nothing but text: they are asked of
    whatever it knows.
    """
    seen: set[int] = set()
    for thing in gc.get_objects():
        for one in (thing, *gc.get_referents(thing)):
            if _is_ours(one) and id(one) not in seen:
                seen.add(id(one))
                yield one


def _is_ours(thing: object) -> bool:
    kind = type(thing)
    return str(getattr(kind, "__module__", "")).startswith(OURS) and not isinstance(thing, type)


def on_disk(places: Places, place: str, folder: Path) -> None:
    """Every byte of every file below a folder."""
    for file in folder.rglob("*"):
        if file.is_file():
            places.note(place, file.read_bytes())


async def listened(places: Places, address: str) -> None:
    """What the operations listener says."""
    async with httpx.AsyncClient(base_url=f"http://{address}", trust_env=False) as client:
        for path in ("/metrics", "/healthz", "/readyz"):
            places.note(f"listener {path}", (await client.get(path)).text)
