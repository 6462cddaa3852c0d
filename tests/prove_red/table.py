"""Every row, by subject. Read these files as the list of what the product promises and can be held to."""

from __future__ import annotations

from tests.prove_red.promises import (
    bus,
    calls,
    connecting,
    end,
    google,
    issued,
    keys,
    limits,
    moving,
    once,
    operators,
    pacing,
    providers,
    records,
    renewing,
    resilience,
    rights,
    scope,
    secrets,
    sender,
    tokens,
    wire,
)
from tests.prove_red.row import Row

ROWS: tuple[Row, ...] = (
    *records.ROWS,
    *keys.ROWS,
    *scope.ROWS,
    *rights.ROWS,
    *bus.ROWS,
    *end.ROWS,
    *calls.ROWS,
    *resilience.ROWS,
    *wire.ROWS,
    *providers.ROWS,
    *limits.ROWS,
    *google.ROWS,
    *issued.ROWS,
    *tokens.ROWS,
    *renewing.ROWS,
    *connecting.ROWS,
    *secrets.ROWS,
    *sender.ROWS,
    *operators.ROWS,
    *pacing.ROWS,
    *moving.ROWS,
    *once.ROWS,
)
