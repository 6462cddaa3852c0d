"""What `dev` and `run` share: the loop they run on, and what keeps them from starting, in words."""

from __future__ import annotations

import gc
import platform
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import anyio

from sidecar.adapters.address import AddressError
from sidecar.adapters.key_file import KeyFileError
from sidecar.adapters.nats_directory import ServerError
from sidecar.adapters.nats_streams import StreamRefused
from sidecar.app import GivenUp, Unfit
from sidecar.catalogue.read import ManifestError
from sidecar.cli.failure import GIVEN_UP, NATS_DENIED, NO_NATS, NOT_READY, SETTINGS, Stopped, stop
from sidecar.cli.session import INBOX, KNOWN_LOGIN, LOGIN, credentials_file
from sidecar.core.egress import parse_allow
from sidecar.log import configure_log
from sidecar.model import Problem, Reason
from sidecar.ports import BusDenied, BusError, LoginRefused, StoreDenied, StoreUnavailable
from sidecar.settings import Settings

T = TypeVar("T")

# What ends a command before it serves, the first row that fits: (exceptions, reason, what to do).
TOLD: tuple[tuple[type[Exception] | tuple[type[Exception], ...], str, str | None], ...] = (
    (ServerError, NO_NATS, None),
    (GivenUp, GIVEN_UP, "look at `sidecar trace show` of each"),
    (LoginRefused, NATS_DENIED, KNOWN_LOGIN),
    (BusDenied, NATS_DENIED, INBOX),
    (BusError, NO_NATS, "check SIDECAR_NATS_URL, and that the server runs"),
    (StoreDenied, NATS_DENIED, LOGIN),
    (StoreUnavailable, Reason.STORE_UNAVAILABLE, "the nats-server needs JetStream, and we its permission"),
    ((StreamRefused, KeyFileError), NOT_READY, None),
    (ManifestError, NOT_READY, "check the folder with sidecar provider check FOLDER"),
    (AddressError, SETTINGS, "check SIDECAR_OPERATIONS_ADDRESS and SIDECAR_CONNECT_ADDRESS"),
)


def serving(settings: Settings, work: Callable[[], Awaitable[T]]) -> T:
    """Run until it ends, on the loop of production and with the log of the settings. Stopped where it cannot start."""
    configure_log(settings.log_format, settings.log_level)
    try:
        parse_allow(settings.egress_allow)
    except ValueError as error:
        raise stop(SETTINGS, str(error), "check SIDECAR_EGRESS_ALLOW") from error
    credentials_file(settings)
    gc.freeze()  # all that was imported; what is made from here on is looked through once, when it serves
    with starting():
        return anyio.run(work, backend_options={"use_uvloop": platform.python_implementation() == "CPython"})


@contextmanager
def starting() -> Iterator[None]:
    """What a start may end in, as Stopped; a defect goes through as it is."""
    try:
        yield
    except Exception as error:
        stopped = _stopped(_cause(error))
        if stopped is None:
            raise
        raise stopped from error


def _cause(error: BaseException) -> BaseException:
    """The one exception within the groups that task groups wrap it in."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _stopped(error: BaseException) -> Stopped | None:
    if isinstance(error, Stopped):
        return error
    if isinstance(error, Unfit):
        errors = tuple(Problem("-", what) for what in error.missing)
        return stop(NOT_READY, str(error), "see sidecar doctor, which checks all it needs", errors=errors)
    for kinds, reason, hint in TOLD:
        if isinstance(error, kinds):
            return stop(reason, str(error), getattr(error, "hint", "") or hint)
    return None
