"""What everything in a manifest is made of: strict structs that name the provider's page a fact was taken from."""

from __future__ import annotations

from datetime import date

import msgspec

Scalar = str | int | float | bool


class Fact(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of everything in a manifest. `docs` is the provider's page that says it; `checked` the day we looked."""

    docs: str | None = None
    checked: date | None = None
