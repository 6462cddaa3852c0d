"""Subjects on which sidecars speak of shared quotas, `sidecar.quota.<tenant or ->.<what>`. No agent may use them."""

from __future__ import annotations

import msgspec

from sidecar.scope import Scope
from sidecar.wire.subject import EVERY, encode_token


class QuotaSubjects(msgspec.Struct, frozen=True):
    """Those of the sidecars that share quotas with each other: of one tenant, or of all (`-`)."""

    prefix: str
    scope: str

    @property
    def everyone(self) -> str:
        """Heard by all."""
        return f"{self._base}.all"

    def to(self, sidecar: str) -> str:
        """Heard by one."""
        return f"{self._base}.to.{sidecar}"

    def undelivered(self, sidecar: str, number: str) -> str:
        """Where this sidecar learns that nobody heard its message of this number."""
        return f"{self._base}.undelivered.{sidecar}.{number}"

    @property
    def look(self) -> str:
        """Asks all how their part stands."""
        return f"{self._base}.look"

    def shown(self, sidecar: str, number: str) -> str:
        """Where this sidecar is answered."""
        return f"{self._base}.shown.{sidecar}.{number}"

    def is_shown(self, subject: str) -> bool:
        """Whether a sidecar is answered there."""
        return subject.startswith(f"{self._base}.shown.")

    @property
    def _base(self) -> str:
        return f"{self.prefix}.quota.{self.scope}"


def quota_subjects(prefix: str, scope: Scope) -> QuotaSubjects:
    """Sidecars of one tenant share with each other, whatever connections they serve; those of all tenants likewise."""
    return QuotaSubjects(prefix, EVERY if scope.tenant is None else encode_token(scope.tenant))


def record_scope(scope: Scope) -> str:
    """What the keys of quota records begin with: `%` is not legal there."""
    return EVERY if scope.tenant is None else encode_token(scope.tenant).replace("%", "=")
