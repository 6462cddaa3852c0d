"""Tenants and scopes: what is not of this sidecar neither arrives, nor is answered."""

from __future__ import annotations

from tests.prove_red.row import Row

WORKER = "tests/worker/test_scope.py"

ROWS = (
    Row(
        promise="A scoped sidecar subscribes to its tenant by name.",
        file="sidecar/wire/interest.py",
        good='tenant = "*" if scope.tenant is None else encode_token(scope.tenant)',
        bad='tenant = "*"',
        tests=(f"{WORKER}::test_one_tenant",),
    ),
    Row(
        promise="A call of another tenant that arrives all the same is refused, and nothing is looked up.",
        file="sidecar/answer.py",
        good="provider)\n        if refusal is None and named in",
        bad="provider) if call is None else None\n        if refusal is None and named in",
        tests=(f"{WORKER}::test_what_arrives_all_the_same_is_refused",),
    ),
    Row(
        promise="An operator of another tenant is refused.",
        file="sidecar/answer.py",
        good="refusal = denied(self._scope, address.tenant, address.connection, provider)",
        bad="refusal = denied(self._scope, self._scope.tenant or address.tenant, address.connection, provider)",
        tests=(f"{WORKER}::test_what_arrives_all_the_same_is_refused",),
    ),
    Row(
        promise="A cancel from outside of the scope is counted and not answered.",
        file="sidecar/answer.py",
        good="return denied(self._scope, address.tenant, address.connection) or self._in_flight.get(address)",
        bad="return self._in_flight.get(address)",
        tests=(f"{WORKER}::test_a_cancel_from_outside_is_not_answered",),
    ),
    Row(
        promise="What spans all providers is not asked of who serves some of them.",
        file="sidecar/wire/interest.py",
        good="        if not scope.providers:\n            found.append",
        bad="        if True:\n            found.append",
        tests=(f"{WORKER}::test_connections_and_providers",),
    ),
    Row(
        promise="A list shows the connections of the scope and no others.",
        file="sidecar/store/credential.py",
        good="if not self._scope.holds(tenant, of, at):",
        bad="if not self._scope.holds_tenant(tenant):",
        tests=("tests/store/test_credential_scope.py::test_what_is_inside_is_served",),
    ),
    Row(
        promise="Tenant, connection and provider must all be in a scope.",
        file="sidecar/scope.py",
        good="return not self.connections or connection in self.connections",
        bad="return not self.connections or bool(connection)",
        tests=("tests/app/test_scope.py::test_what_a_scope_holds",),
    ),
    Row(
        promise="Records outside of the scope are refused before the store is asked.",
        file="sidecar/scope.py",
        good="return self.tenant is None or tenant == self.tenant",
        bad="return self.tenant is None or bool(tenant)",
        tests=("tests/store/test_credential_scope.py::test_what_is_outside_is_refused",),
    ),
    Row(
        promise="All sidecars are in one queue group: no call is done twice.",
        file="sidecar/worker.py",
        good="await self._bus.subscribe(interest.subject, hand_over, queue=QUEUE))",
        bad="await self._bus.subscribe(interest.subject, hand_over))",
        tests=("tests/worker/test_reply.py::test_subscribed_provider_by_provider",),
    ),
)
