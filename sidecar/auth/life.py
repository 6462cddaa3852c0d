"""How long a token may be used, and from when it is renewed: by one process's own clock, from when it saw the token.

Pure. The wall clock is looked at once for each token: when it jumps, or is wrong, nothing that is held changes, and no
token is believed to live longer than its provider said.
"""

from __future__ import annotations

import math

import msgspec

from sidecar.credential import Tokens

WINDOW_SECONDS = 300.0  # before its end, and at most a fifth of its life, a token is renewed while it still serves
WINDOW_SHARE = 0.2
MARGIN_SECONDS = 5.0  # a token that ends so soon may be over when the request arrives; at most a twentieth of its life
MARGIN_SHARE = 0.05


class Life(msgspec.Struct, frozen=True):
    """Moments of the clock that `now` was of: from `due` on the token is renewed, from `over` on it is not sent."""

    due: float
    over: float


FOREVER = Life(math.inf, math.inf)  # until the provider rejects it


def life_of(tokens: Tokens, now: float, wall: float, jitter: float) -> Life:
    """When these tokens, first seen now, are due and over; `jitter`, uniform in [0, 1), keeps many from one moment."""
    if tokens.expires is None:
        return FOREVER
    left = tokens.expires - wall
    span = max(tokens.lifetime if tokens.lifetime is not None else left, 0.0)
    left = min(left, span)
    window = min(WINDOW_SECONDS, WINDOW_SHARE * span)
    over = now + left - min(MARGIN_SECONDS, MARGIN_SHARE * span)
    return Life(min(over, now + left - window * (0.5 + 0.5 * jitter)), over)
