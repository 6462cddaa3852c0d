"""A secret is shown by `reveal()` and by nothing else."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import traceback
from collections.abc import Callable

import msgspec
import pytest

from sidecar.adapters.cryptography_keys import FileKeys
from sidecar.adapters.nats_url import parse_url
from sidecar.credential import Credential
from sidecar.secret import Secret
from sidecar.settings import Settings
from sidecar.store.credential_form import stored_form
from sidecar.store.record import Found

VALUE = "canary-hunter2"


@pytest.mark.parametrize(
    "show",
    [
        repr,
        str,
        "{}".format,
        "{!r}".format,
        "{:>40}".format,
        lambda secret: f"{secret}",
        lambda secret: "%s %r" % (secret, secret),  # noqa: UP031 - as loggers do
        lambda secret: repr([secret, {"k": secret}]),
        lambda secret: repr(Credential(kind="bearer", fields={"token": secret}, created=0, changed=0)),
        lambda secret: json.dumps({"k": secret}, default=str),
        lambda secret: msgspec.json.encode({"k": secret}, enc_hook=str).decode(),
        lambda secret: repr(msgspec.structs.asdict(Credential(kind="b", fields={"t": secret}, created=0, changed=0))),
        lambda secret: repr(dir(secret)) + repr(getattr(secret, "__dict__", None)),
    ],
)
def test_what_prints_does_not_show_it(show: Callable[[Secret], str]) -> None:
    """Printing, formatting and encoding with a fallback show a mark."""
    assert VALUE not in show(Secret(VALUE))


@pytest.mark.parametrize(
    "take",
    [
        json.dumps,
        msgspec.json.encode,
        msgspec.msgpack.encode,
        msgspec.to_builtins,
        pickle.dumps,
        copy.copy,
        copy.deepcopy,
        lambda secret: "Bearer " + secret,
    ],
)
def test_what_takes_it_apart_is_refused(take: Callable[[object], object]) -> None:
    """Encoders, pickle and string arithmetic fail, without the value in the message."""
    with pytest.raises(TypeError) as refused:
        take(Secret(VALUE))
    assert VALUE not in "".join(traceback.format_exception(refused.value))


@pytest.mark.parametrize(
    "holder",
    [
        stored_form(Credential(kind="bearer", fields={"token": Secret(VALUE)}, created=0, changed=0)),
        parse_url(f"nats://sidecar:{VALUE}@nats:4222"),
        parse_url(f"nats://{VALUE}@nats:4222"),
        Settings(nats_url=f"nats://sidecar:{VALUE}@nats:4222"),
        FileKeys({"k1": VALUE.ljust(32).encode()}),
    ],
    ids=lambda holder: type(holder).__name__,
)
def test_what_holds_it_in_plain_does_not_print_it(holder: object) -> None:
    """Also what has to have the value as text: the record before it is sealed, a URL with its login."""
    for text in (repr(holder), str(holder), f"{holder}", repr([holder]), repr(Found(holder, 1))):
        assert VALUE not in text


def test_a_log_does_not_show_it(caplog: pytest.LogCaptureFixture) -> None:
    """A secret that gets into a log line does not show there."""
    logging.getLogger("tests").warning("token %s of %r", Secret(VALUE), {"k": Secret(VALUE)})
    assert VALUE not in caplog.text


def test_it_is_revealed_on_request() -> None:
    """`reveal` gives the value; equality compares it."""
    assert Secret(VALUE).reveal() == VALUE
    assert Secret(VALUE) == Secret(VALUE)
    assert Secret(VALUE) != Secret("other")
    assert Secret(VALUE) != VALUE
