"""Where a secret may come from: a file, the environment, a hidden prompt. Never an argument; never shown again."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import click
import msgspec

from sidecar.cli.failure import NO_FILE, USAGE, stop
from sidecar.cli.stdin import at_a_terminal, read_some

MAX_SECRET = 256 * 1024
# Typed in the open, as at every login.
VISIBLE = frozenset(
    {"username", "user", "identity", "email", "client_id", "app_id", "installation_id", "account_id", "issuer"}
)
LINES = frozenset({"private_key"})  # no terminal asks for those
SHAPE = '{"fields": {"name": "value"}}'


class Source(msgspec.Struct, frozen=True):
    """The file (`-`: stdin) or the variable that holds a secret; neither means the terminal."""

    file: str | None = None
    variable: str | None = None


class Fields(msgspec.Struct, frozen=True):
    """A credential as JSON."""

    fields: dict[str, str]


class KeyFile(msgspec.Struct, frozen=True):
    """A key file as a provider hands it out: its texts by their names there."""

    values: dict[str, str]


Read = dict[str, str] | str | KeyFile | None


def read_fields(source: Source) -> Read:
    """The fields that the source holds, or its bare secret; None when it is to be asked for on the terminal."""
    if source.file is not None:
        return _parsed(_file(source.file), "stdin" if source.file == "-" else source.file)
    if source.variable is not None:
        value = os.environ.get(source.variable)
        if not value:
            raise stop(NO_FILE, f"the environment has no variable {source.variable[:80]!r}, or it is empty")
        return _parsed(value, f"variable {source.variable[:80]}")
    return None


def ask_fields(title: str, kind: str, names: Sequence[str], file: Mapping[str, str], read: Read) -> dict[str, str]:
    """The credential's fields: as read, or asked for on the terminal. `file` is what a key file calls them."""
    if isinstance(read, dict):
        return read
    if isinstance(read, KeyFile):
        if not file:
            raise stop(USAGE, f"{title} hands out no key file for the kind {kind}", f"give the secret, or {SHAPE}")
        return {name: read.values[theirs] for name, theirs in file.items() if theirs in read.values}
    if isinstance(read, str):
        if len(names) == 1:
            return {names[0]: read}
        raise stop(USAGE, f"a credential of kind {kind} has {len(names)} fields: {', '.join(names)}", f"give {SHAPE}")
    if not at_a_terminal():
        raise stop(USAGE, "there is no terminal to ask for the secret", "give --from-file FILE or --from-env NAME")
    if LINES & set(names):
        raise stop(USAGE, f"a credential of kind {kind} has a key of several lines", "give --from-file FILE")
    fields: dict[str, str] = {}
    for name in names:
        may_be_empty = kind == "basic" and all(fields.values())
        fields[name] = _asked(f"{title} {name}", hidden=name not in VISIBLE, may_be_empty=may_be_empty)
    return fields


def _asked(text: str, *, hidden: bool, may_be_empty: bool) -> str:
    """What is typed; nothing only where the question says that nothing is an answer."""
    said: str
    if may_be_empty:
        said = click.prompt(
            f"{text} (empty: Enter)", hide_input=hidden, err=True, type=str, default="", show_default=False
        )
    else:
        said = click.prompt(text, hide_input=hidden, err=True, type=str)
    return said.strip()


def _file(path: str) -> str:
    content = read_some(path, MAX_SECRET)
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise stop(USAGE, f"{path} does not hold text in UTF-8") from None
    if len(content) > MAX_SECRET or not text.strip():
        raise stop(USAGE, f"{path} is {'empty' if not text.strip() else 'too large for a secret'}")
    return text


def _parsed(text: str, where: str) -> dict[str, str] | str | KeyFile:
    """JSON's fields, a provider's key file, or the whole as one secret. No message repeats what was read."""
    bare = text.strip()
    if not bare.startswith("{"):
        return bare
    try:
        whole = msgspec.json.decode(bare, type=dict[str, object])
        if "fields" in whole:
            return msgspec.convert(whole, Fields).fields
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise stop(USAGE, f"{where} starts like JSON and is not {SHAPE}") from None
    texts = {name: value for name, value in whole.items() if isinstance(value, str)}
    if not texts:
        raise stop(USAGE, f"{where} starts like JSON and is not {SHAPE}")
    return KeyFile(texts)
