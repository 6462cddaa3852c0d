"""How many retries a tenant may make at a provider: a budget that failures use up and successes fill again, so that a
provider in trouble is not asked several times for each call.

The figures are those of the AWS SDKs' standard mode since November 2026.
https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
"""

from __future__ import annotations

import msgspec

from sidecar.core.retry import THROTTLED
from sidecar.model import Reason

EARNED = 1  # by a success at the first attempt


class RetryBudget(msgspec.Struct, frozen=True):
    """In tokens: what there is at most, what a retry costs, and what one costs that the provider asked for."""

    most: int = 500
    transient: int = 14
    throttled: int = 5

    def cost(self, reason: Reason) -> int:
        """Of a retry after a failure for this reason."""
        return self.throttled if reason in THROTTLED else self.transient

    def earned(self, tokens: int, cost: int) -> int:
        """The tokens after a success, whose last retry cost so many (0: it needed none)."""
        return min(self.most, tokens + (cost or EARNED))
