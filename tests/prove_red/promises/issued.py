"""Outlook, and the tokens that providers issue: one event, words in their places, every lifetime and refusal read."""

from __future__ import annotations

from tests.prove_red.row import Row

OUTLOOK = "tests/connectors/test_outlook.py"
OUTLOOK_HOOKS = "connectors/outlook/hooks.py"
ISSUED = "tests/connectors/test_issued.py"
QUESTION = "sidecar/auth/question.py"
PAGE = "sidecar/core/next_page.py"

ROWS = (
    Row(
        promise="An event of Outlook that is sent again bears the same transaction id.",
        file=OUTLOOK_HOOKS,
        good='return {"transaction_id": values.get("call_id"), **shaped}',
        bad='return {"transaction_id": str(id(shaped)), **shaped}',
        tests=(f"{OUTLOOK}::test_the_same_call_makes_the_same_event",),
    ),
    Row(
        promise="No word of a search leaves its quotes.",
        file=OUTLOOK_HOOKS,
        good=r"""values["query"].replace("\\", "\\\\").replace('"', '\\"')""",
        bad=r"""values["query"].replace('"', '\\"')""",
        tests=(f"{OUTLOOK}::test_a_search_cannot_leave_its_quotes",),
    ),
    Row(
        promise="A moment with an offset is the same moment in Outlook, whatever zone is named.",
        file=OUTLOOK_HOOKS,
        good="moment = moment.astimezone(UTC)",
        bad="moment = moment.replace(tzinfo=UTC)",
        tests=(f"{OUTLOOK}::test_an_offset_decides_over_the_zone",),
    ),
    Row(
        promise="A listing does not end in silence where the address of its next page is none.",
        file=PAGE,
        good='        raise BadCursor("no URL with a query for the next page")',
        bad="        return None",
        tests=("tests/core/test_next_page.py::test_a_next_page_that_is_no_address_is_told",),
    ),
    Row(
        promise="A field of a credential stays in its place of the URL that a password goes to.",
        file=QUESTION,
        good='if text in {"", ".", ".."}:',
        bad='if text == "":',
        tests=(f"{ISSUED}::test_a_field_cannot_leave_its_place_in_the_url",),
    ),
    Row(
        promise="No secret stands in the URL of a login.",
        file="sidecar/catalogue/kind_mistakes.py",
        good="if name not in auth.fields or name in auth.secret:",
        bad="if name not in auth.fields:",
        tests=("tests/catalogue/test_load.py::test_a_provider_that_makes_no_sense_is_told",),
    ),
    Row(
        promise="A token that says itself when it ends is renewed before.",
        file="sidecar/auth/token_answer.py",
        good="            end = _end_of_jwt(token)",
        bad="            end = None",
        tests=(f"{ISSUED}::test_pocketbase_logs_in",),
    ),
    Row(
        promise="A kind of credential that cannot make the usual verification call makes its own.",
        file="sidecar/provider.py",
        good="return self.manifest.verify_as.get(kind, self.manifest.verify)",
        bad="return self.manifest.verify",
        tests=(f"{ISSUED}::test_each_kind_is_verified_by_a_call_that_it_can_make",),
    ),
    Row(
        promise="Slack's refusal of status 200 is a refusal.",
        file="connectors/slack/provider.yaml",
        good="      success: {path: ok, equals: true}\n",
        bad="",
        tests=(f"{ISSUED}::test_slack_refuses_with_200",),
    ),
    Row(
        promise="The token of a user whom Slack nests is found.",
        file="connectors/slack/provider.yaml",
        good="access_token: [access_token, authed_user.access_token]",
        bad="access_token: [access_token]",
        tests=(f"{ISSUED}::test_slack_installs_a_bot_or_a_user",),
    ),
    Row(
        promise="Cases know the values of an account that its base URL is made of.",
        file="sidecar/sandbox/credential.py",
        good="kept=kept(provider.manifest.base_url),",
        bad="kept={},",
        tests=("tests/sandbox/test_check.py::test_cases_know_the_values_of_an_account",),
    ),
    Row(
        promise="The sandbox needs no token endpoint.",
        file="sidecar/sandbox/credential.py",
        good="tokens=Tokens(access=Secret(ACCESS_TOKEN)) if isinstance(kind, Issued) else None,",
        bad="tokens=None,",
        tests=("tests/sandbox/test_server.py::test_a_credential_whose_token_is_issued_needs_no_token_endpoint",),
    ),
)
