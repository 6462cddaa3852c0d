"""Accounts connected, moved in and out, deleted: the command line's part of it, and what answers it."""

from __future__ import annotations

from tests.prove_red.row import Row

COPIES = "tests/admin/test_copy_verbs.py"
TENANT = "tests/cli/test_tenant.py"
BULK = "tests/cli/test_bulk.py"
CONNECT = "tests/cli/test_connect.py"
DOCTOR = "tests/cli/test_doctor_auth.py"

ROWS = (
    Row(
        promise="A restore writes over no record that is there.",
        file="sidecar/store/copies.py",
        good="if entry is not None and not entry.deleted:\n                kept.append(copy.record)",
        bad=(
            "if entry is not None and not entry.deleted:\n"
            "                await self._writer.replace(self._bucket, copy.record, copy.sealed, entry.revision)\n"
            "                kept.append(copy.record)"
        ),
        tests=(f"{COPIES}::test_what_is_there_is_not_written_over",),
    ),
    Row(
        promise="A copy goes back to its own tenant and connection alone.",
        file="sidecar/store/copies.py",
        good="if not _is_of(pattern, copy.record):",
        bad="if not pattern:",
        tests=(f"{COPIES}::test_what_cannot_be_put_back", f"{COPIES}::test_a_part_is_asked_by_its_subject"),
    ),
    Row(
        promise="A restore drill writes nothing.",
        file="sidecar/store/copies.py",
        good="            if not dry_run:\n",
        bad="            if True:\n",
        tests=(f"{COPIES}::test_a_dry_run_writes_nothing",),
    ),
    Row(
        promise="An export that was cut off is not restored.",
        file="sidecar/cli/connection_copies.py",
        good="if ends.records != len(copies):",
        bad="if ends.records < len(copies):",
        tests=("tests/cli/test_copies.py::test_a_file_that_is_not_whole",),
    ),
    Row(
        promise="The deletion of one tenant leaves one whose name begins alike.",
        file="sidecar/cli/tenant.py",
        good='f"$KV.{bucket}.{key}.") for bucket',
        bad='f"$KV.{bucket}.") for bucket',
        tests=(f"{TENANT}::test_all_of_one_tenant_and_nothing_of_another",),
    ),
    Row(
        promise="A tenant is deleted after its name was given twice.",
        file="sidecar/cli/tenant.py",
        good="    if confirm != tenant:\n",
        bad="    if confirm.lower() != tenant.lower():\n",
        tests=(f"{TENANT}::test_the_name_is_given_twice",),
    ),
    Row(
        promise="Who may not delete a tenant revokes nothing of it.",
        file="sidecar/cli/tenant.py",
        good="await _forgotten(nats, stream, below + NOBODYS)",
        bad="assert stream + below",
        tests=("tests/permissions/test_commands.py::test_a_tenant_that_a_login_may_not_delete",),
    ),
    Row(
        promise="A refresh token of another OAuth app is refused by the dry run.",
        file="sidecar/import_admin.py",
        good="        if isinstance(app, Refused):\n            return failure_of(app)\n",
        bad="        if isinstance(app, Refused):\n            app = None\n",
        tests=("tests/admin/test_dry_import.py::test_a_refresh_token_of_another_app",),
    ),
    Row(
        promise="An access token that ends is not imported as one that does not.",
        file="sidecar/cli/bulk_rows.py",
        good='if given.get("expires_at"):',
        bad='if given.get("expired_at"):',
        tests=(f"{BULK}::test_rows_that_cannot_work",),
    ),
    Row(
        promise="A row keeps nothing of a secret that it cannot use.",
        file="sidecar/cli/bulk_rows.py",
        good="return msgspec.structs.replace(row, fields={}, problem=problem)",
        bad="return msgspec.structs.replace(row, problem=f'{problem} {row.fields}')",
        tests=(f"{BULK}::test_lines_of_our_own",),
    ),
    Row(
        promise="The file of an OAuth app is readable by its owner alone.",
        file="sidecar/cli/app_here.py",
        good="OWNER_ONLY, FOLDER = 0o600, 0o700",
        bad="OWNER_ONLY, FOLDER = 0o640, 0o700",
        tests=(f"{CONNECT}::test_the_app_is_kept_for_its_owner_alone",),
    ),
    Row(
        promise="An address of another try is not taken for this one's.",
        file="sidecar/cli/paste.py",
        good='if parameters.get("state") != asked.get("state"):',
        bad='if "state" not in asked:',
        tests=(f"{CONNECT}::test_a_wrong_address_is_asked_for_again", f"{CONNECT}::test_what_may_be_pasted"),
    ),
    Row(
        promise="A bucket is told of before it is full.",
        file="sidecar/cli/doctor_room.py",
        good="NEARLY, FULL = 0.8, 0.99",
        bad="NEARLY, FULL = 0.99, 0.99",
        tests=(f"{DOCTOR}::test_room",),
    ),
    Row(
        promise="A clock that is wrong is told apart from an answer that took its time.",
        file="sidecar/cli/doctor_endpoint.py",
        good="early, late = began - (theirs + DATE_SECONDS), ended - theirs",
        bad="early, late = ended - theirs, began - theirs",
        tests=(f"{DOCTOR}::test_the_clock_of_a_token_endpoint",),
    ),
    Row(
        promise="A scope that another granted one covers is not missed.",
        file="sidecar/cli/doctor_grants.py",
        good="if _short(scope) not in held and any(not _covered(auth, name, held) for name in needing):",
        bad="if _short(scope) not in held and needing:",
        tests=(f"{DOCTOR}::test_a_grant_that_is_well",),
    ),
)
