"""Rights on NATS: one that is too wide is seen by the tests of the table, and by the matrix on a real server."""

from __future__ import annotations

from tests.prove_red.row import Row

TABLE = "tests/permissions/test_table.py"
PERMISSIONS = "sidecar/permissions.py"

ROWS = (
    Row(
        promise="An agent that was granted reading cannot write.",
        file=PERMISSIONS,
        good='_U: _may_publish("{prefix}.write.{tenant}.{connection}.>"),',
        bad='_RO: _may_publish("{prefix}.write.{tenant}.>"),\n'
        '        _U: _may_publish("{prefix}.write.{tenant}.{connection}.>"),',
        tests=(
            "tests/permissions/test_matrix.py::test_every_cell",
            f"{TABLE}::test_shipped_files_are_what_the_table_says",
        ),
    ),
    Row(
        promise="A scoped sidecar reads the records of its tenant and no others.",
        file=PERMISSIONS,
        good='_SCOPED: _may_publish(_GET + ".KV_{bucket}.$KV.{bucket}.{key}"),',
        bad='_SCOPED: _may_publish(_GET + ".KV_{bucket}.$KV.{bucket}.>"),',
        tests=(f"{TABLE}::test_a_scoped_sidecar_names_its_tenant_everywhere",),
    ),
    Row(
        promise="A trace reader reads the trace of its tenant.",
        file=PERMISSIONS,
        good='_T: _may_subscribe("{prefix}.trace.{tenant}.>"),',
        bad='_T: _may_subscribe("{prefix}.trace.>"),',
        tests=(f"{TABLE}::test_a_role_names_its_tenant_everywhere",),
    ),
    Row(
        promise="Everybody has an inbox of their own and hears no other.",
        file=PERMISSIONS,
        good='**{role: Grant(("{inbox}.>",), ("{inbox}.>",)) for role in Role},',
        bad='**{role: Grant(("{inbox}.>",), (f"{INBOX}.>",)) for role in Role},',
        tests=(f"{TABLE}::test_inboxes_are_apart",),
    ),
    Row(
        promise="A scoped sidecar does not look at streams, whose subjects name other tenants.",
        file=PERMISSIONS,
        good='(_SHARED, _ADMIN), _may_publish("$JS.API.INFO"',
        bad='(_SHARED, _SCOPED, _ADMIN), _may_publish("$JS.API.INFO"',
        tests=(f"{TABLE}::test_a_scoped_sidecar_names_its_tenant_everywhere",),
    ),
    Row(
        promise="No right spans kinds of subjects.",
        file=PERMISSIONS,
        good='_O: _may_publish("{prefix}.admin.{tenant}.>"),',
        bad='_O: _may_publish("{prefix}.*.{tenant}.>"),',
        tests=(f"{TABLE}::test_nobody_is_given_a_kind_by_wildcard",),
    ),
    Row(
        promise="A user's agent without a connection is refused, not given every connection.",
        file=PERMISSIONS,
        good="if self.role is Role.USER_AGENT and not self.connections:",
        bad="if self.role is Role.USER_AGENT and self.connections is None:",
        tests=(f"{TABLE}::test_names_that_would_widen_a_right_are_refused",),
    ),
    Row(
        promise="A sidecar may subscribe to all that its scope wants.",
        file=PERMISSIONS,
        good='_SCOPED: _may_subscribe("{prefix}.cancel.{tenant}.{connection}.*"),',
        bad='_SCOPED: _may_publish("{prefix}.cancel.{tenant}.{connection}.*"),',
        tests=(f"{TABLE}::test_a_sidecar_may_subscribe_to_all_that_its_scope_wants",),
    ),
    Row(
        promise="A name with a line break makes no configuration of a nats-server.",
        file="sidecar/nats_server_config.py",
        good="    if not text.isprintable():",
        bad="    if not text:",
        tests=(f"{TABLE}::test_a_control_character_makes_no_configuration",),
    ),
)
