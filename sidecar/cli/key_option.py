"""The idempotency key of a call: given as it is, or made of a run and its step."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click
import msgspec

from sidecar.cli.failure import USAGE, stop
from sidecar.core.idempotency import key_of_step
from sidecar.wire.request import IDEMPOTENCY_KEY


class KeyAsked(msgspec.Struct, frozen=True):
    """What the options say of the key."""

    given: str | None
    run: str | None
    step: str | None

    def of(self, operation: str, payload: bytes) -> str | None:
        """The key of this call, if one is asked for. Stopped where the options do not make one."""
        if self.given is not None:
            if self.run is not None or self.step is not None:
                raise stop(
                    USAGE, "--idempotency-key and --run with --step are two keys for one call", "give one of them"
                )
            if not IDEMPOTENCY_KEY.fullmatch(self.given):
                raise stop(USAGE, f"an idempotency key is 1 to 255 visible ASCII characters, not {self.given[:40]!r}")
            return self.given
        if self.run is None and self.step is None:
            return None
        if not self.run or not self.step:
            raise stop(USAGE, "--run and --step make a key together", "name the run and its step")
        return key_of_step(self.run, self.step, operation, payload)


def key_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options; the command gets them as `key`."""

    @click.option("--idempotency-key", metavar="KEY", help="Do it once for this key, however often it is sent.")
    @click.option("--run", metavar="RUN", help="With --step: the key is made of run, step, operation and input.")
    @click.option("--step", metavar="STEP", help="The step of the run that this call is.")
    @functools.wraps(command)
    def with_key(*, idempotency_key: str | None, run: str | None, step: str | None, **others: Any) -> None:
        command(key=KeyAsked(idempotency_key, run, step), **others)

    return with_key
