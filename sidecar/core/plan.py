"""One operation made ready for calls: what preparing them takes that depends on no caller and no input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sidecar.core.idempotency import handed_on, identity, takes_key
from sidecar.core.page import secret_parameters, with_page
from sidecar.core.quota.demand import Tariff
from sidecar.core.raw import render_raw
from sidecar.core.refusal import too_long
from sidecar.core.render import CALL_ID, Template
from sidecar.model import Call, Failure, Request
from sidecar.provider import Catalogue, Operation, Provider


class Plan:
    """How calls of one operation are prepared."""

    def __init__(self, provider: Provider, operation: Operation) -> None:
        self.provider = provider
        self.operation = operation
        self.tariff = Tariff(provider, operation)
        self._template = None if operation.raw else Template(provider, operation)
        self._secret = secret_parameters(provider)
        self._hands_on = takes_key(provider, operation)

    def request(self, call: Call, url: str, values: dict[str, Any]) -> Request | Failure:
        """The request of a call below the base `url`, with its page, without the credential."""
        known_by = identity(call)
        request = self._rendered(url, values, known_by)
        if isinstance(request, Failure):
            return request
        if call.cursor is not None:
            paged = with_page(self.operation, request, call.cursor, self._secret)
            if isinstance(paged, Failure):
                return paged
            request = paged
        if self._hands_on:
            request = handed_on(self.provider, self.operation, request, known_by)
        return too_long(request) or request

    def _rendered(self, url: str, values: Mapping[str, Any], known_by: str) -> Request | Failure:
        if self._template is None:
            return render_raw(self.provider, self.operation.fact.method, url, values)
        hook = self.operation.input_hook
        return self._template.filled(url, hook({**values, CALL_ID: known_by}) if hook else values, known_by)


class Plans:
    """The plans of a catalogue's operations, each made when it is first needed."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._known: dict[tuple[str, str], Plan] = {}

    def of(self, provider: str, operation: str) -> Plan | None:
        """The plan of an operation; None where there is no such operation."""
        known = self._known.get((provider, operation))
        if known is None:
            found = self._catalogue.operation(provider, operation)
            if found is None:
                return None
            known = self._known[provider, operation] = Plan(self._catalogue.providers[provider], found)
        return known
