"""Secrets: where a credential goes, and that nothing which is told, logged or traced repeats it."""

from __future__ import annotations

from tests.prove_red.row import Row

REDACT = "tests/core/test_redact.py"
SPELLING = "tests/core/test_spelling.py"
SECRET = "tests/execute/test_secret.py"
KIND = "tests/auth/test_kind.py"
PATH_KEY = "tests/execute/test_path_key.py"

ROWS = (
    Row(
        promise="What a provider says reaches the trace without the credential.",
        file="sidecar/core/story.py",
        good="return said(answer.content, secrets) if lost is None",
        bad="return said(answer.content) if lost is None",
        tests=(f"{SECRET}::test_of_an_answer_that_echoes_it",),
    ),
    Row(
        promise="The trace holds no body of a success.",
        file="sidecar/core/story.py",
        good='"said": _said(answer, secrets) if failure else None',
        bad='"said": _said(answer, secrets)',
        tests=("tests/execute/test_told.py::test_of_a_success_no_word_of_its_body",),
    ),
    Row(
        promise="What a provider says reaches the agent without the credential.",
        file="sidecar/attempt.py",
        good="            return redact_failure(result, proof.secrets)\n",
        bad="            return result\n",
        tests=(f"{SECRET}::test_of_a_failure_that_no_answer_told",),
    ),
    Row(
        promise="A cursor that repeats the credential is not handed to the agent.",
        file="sidecar/attempt.py",
        good="return echoing(result, proof.secrets",
        bad="return result or echoing(result, proof.secrets",
        tests=("tests/execute/test_around.py::test_no_cursor_carries_the_credential_to_the_agent",),
    ),
    Row(
        promise="An answer that repeats the credential is not handed to the agent.",
        file="sidecar/core/refusal.py",
        good="elif proofs.stand_in(success.body):",
        bad="elif False:",
        tests=(
            "tests/execute/test_around.py::test_no_answer_carries_the_credential_to_the_agent",
            "tests/canary/test_canary.py::test_no_secret_is_seen_anywhere",
        ),
    ),
    Row(
        promise="An answer that repeats the credential escaped is not handed to the agent either.",
        file="sidecar/core/refusal.py",
        good="elif proofs.stand_in(success.body):",
        bad="elif any(proof.encode() in success.body for proof in proofs):",
        tests=("tests/execute/test_around.py::test_no_answer_carries_the_credential_in_another_spelling",),
    ),
    Row(
        promise="What a person came back with does not show itself.",
        file="sidecar/auth/flow.py",
        good="return f\"Returned({'a code' if self.code else self.error})\"",
        bad='return f"Returned({self.code})"',
        tests=("tests/canary/test_canary.py::test_no_secret_is_seen_anywhere",),
    ),
    Row(
        promise="The URL in the trace has no secret parameters.",
        file="sidecar/core/story.py",
        good="url=_cut(redact_url(request.url)),",
        bad="url=_cut(request.url),",
        tests=("tests/execute/test_told.py::test_secret_parameters_of_the_url_are_cut_out",),
    ),
    Row(
        promise="Headers are shown by an allow-list.",
        file="sidecar/core/redact.py",
        good="if lower in SHOWN_HEADERS or lower.startswith(SHOWN_PREFIXES) else None",
        bad='if lower not in ("authorization", "cookie", "set-cookie") else None',
        tests=(f"{REDACT}::test_headers_are_shown_by_an_allow_list",),
    ),
    Row(
        promise="A header's name is shown without the credential.",
        file="sidecar/core/redact.py",
        good="{_cut_name(name, hidden): _cut(value, hidden) for",
        bad="{name: _cut(value, hidden) for",
        tests=(f"{REDACT}::test_a_name_of_a_header_is_cut_as_its_value_is",),
    ),
    Row(
        promise="A secret is cut out however it is written.",
        file="sidecar/core/spelling.py",
        good="(_character(rest, also.get(rest)) if escaped else rest)",
        bad="re.escape(rest)",
        tests=(
            f"{REDACT}::test_a_secret_is_cut_out_however_it_is_written",
            f"{SPELLING}::test_it_is_found_whoever_wrote_it",
        ),
    ),
    Row(
        promise="Base64 of more than the secret is no disguise.",
        file="sidecar/core/spelling.py",
        good="enumerate((0, 2, 3))",
        bad="enumerate((0,))",
        tests=(f"{SPELLING}::test_base64_is_no_disguise",),
    ),
    Row(
        promise="No part of a secret shows where a text is cut.",
        file="sidecar/core/redact.py",
        good="        text = text[: -max(map(len, hidden.spellings), default=1)]\n",
        bad="        text = text[:-1]\n",
        tests=(f"{REDACT}::test_no_part_of_a_secret_shows_on_an_edge",),
    ),
    Row(
        promise="No part of a secret shows where what a provider said is shortened.",
        file="sidecar/core/redact.py",
        good="    shown = _cut(text[: 2 * most + longest], hidden)\n",
        bad="    return _cut(text[:most], hidden)\n",
        tests=(f"{SECRET}::test_of_an_answer_that_is_shortened_within_it",),
    ),
    Row(
        promise="A user name and password are as secret in the form of their header.",
        file="sidecar/auth/kind.py",
        good=", pair(fields)]",
        bad="]",
        tests=(f"{SECRET}::test_of_a_basic_pair_that_is_echoed",),
    ),
    Row(
        promise="A key in the query cannot become a parameter of its own.",
        file="sidecar/auth/proof.py",
        good="={quote(value, safe='')}\"",
        bad='={value}"',
        tests=("tests/auth/test_kind.py::test_a_key_in_the_query_is_encoded",),
    ),
    Row(
        promise="A key in the path is one segment, whatever is in it.",
        file="sidecar/auth/proof.py",
        good="quote(value, safe=IN_SEGMENT)",
        bad="quote(value, safe=IN_SEGMENT + '/')",
        tests=(
            f"{KIND}::test_a_key_in_the_path_is_one_segment",
            f"{KIND}::test_any_key_in_the_path_comes_out_as_it_is",
        ),
    ),
    Row(
        promise="A key in the path stands below the base URL, before all that a caller has a part in.",
        file="sidecar/core/raw.py",
        good="        content,\n        url,\n",
        bad="        content,\n        url + path,\n",
        tests=(f"{PATH_KEY}::test_a_raw_path_goes_below_the_segment",),
    ),
    Row(
        promise="A key that a path would resolve away is refused at import, also behind its prefix.",
        file="sidecar/auth/kind.py",
        good='auth.prefix + text in {".", ".."}',
        bad='text in {".", ".."}',
        tests=(f"{KIND}::test_a_key_that_is_no_segment_is_not_taken",),
    ),
    Row(
        promise="A short key in the path is known behind its prefix.",
        file="sidecar/auth/kind.py",
        good='            return [*secrets, prefix + fields["key"]]\n',
        bad="            return secrets\n",
        tests=(f"{PATH_KEY}::test_a_short_key_is_known_behind_its_prefix",),
    ),
    Row(
        promise="A URL with a key in it is not kept.",
        file="sidecar/auth/proof.py",
        good="parsed = httpx.URL(_with_key(request, segment, query))",
        bad="parsed = _known_url(_with_key(request, segment, query))",
        tests=("tests/auth/test_proof.py::test_a_url_with_a_key_in_it_is_not_remembered",),
    ),
    Row(
        promise="A URL of an answer, which may hold the key, is not kept.",
        file="sidecar/core/page.py",
        good="split_url: Callable[[str], SplitResult] = unwrap(urlsplit)",
        bad="split_url: Callable[[str], SplitResult] = urlsplit",
        tests=(f"{PATH_KEY}::test_no_url_of_an_answer_is_kept",),
    ),
    Row(
        promise="A case need not list a credential in the path; the request has to have it there.",
        file="sidecar/sandbox/compare.py",
        good="    if not _same(path, request.path):\n",
        bad="    if not _same(path, request.path) and not _same(expected.path, request.path):\n",
        tests=("tests/sandbox/test_compare.py::test_a_credential_in_the_path_is_there_listed_or_not",),
    ),
    Row(
        promise="The sandbox repeats nobody's own key that stands in the path.",
        file="sidecar/sandbox/answer.py",
        good='return request.path.startswith(f"{value}/")',
        bad="return request.path.startswith(value[:4])",
        tests=("tests/sandbox/test_server.py::test_a_key_in_the_path_is_a_credential_and_no_part_of_the_operation",),
    ),
    Row(
        promise="A request with a key in its URL does not show itself.",
        file="sidecar/auth/proof.py",
        good='return f"Authorised({self.method} {self.url.host})"',
        bad="return super().__repr__()",
        tests=("tests/auth/test_proof.py::test_a_request_with_a_key_in_its_url_does_not_show_it",),
    ),
    Row(
        promise="What was made of a credential for one description of its kind does not serve another.",
        file="sidecar/auth/proof.py",
        good="(known is not None and known.auth is auth)",
        bad="known is not None",
        tests=("tests/auth/test_proof.py::test_a_kind_described_anew_is_made_anew",),
    ),
    Row(
        promise="What no header can carry is refused at import.",
        file="sidecar/auth/kind.py",
        good="if text != text.strip() or CONTROL.search(text)",
        bad="if text != text.strip()",
        tests=("tests/auth/test_kind.py::test_what_no_header_can_carry",),
    ),
    Row(
        promise="A defect is logged without its secrets.",
        file="sidecar/log.py",
        good="{redact_text(str(error)[:MAX_MESSAGE], secrets)}",
        bad="{str(error)[:MAX_MESSAGE]}",
        tests=("tests/operations/test_log.py::test_a_defect_is_told_without_its_secrets",),
    ),
    Row(
        promise="A page's link gives its query to the agent without the key in it.",
        file="sidecar/core/page.py",
        good='kept = [pair for pair in text.split("&") if unquote_plus(pair.partition("=")[0]) not in secret]',
        bad='kept = text.split("&")',
        tests=("tests/core/test_next_page.py::test_no_secret_leaves_in_a_cursor",),
    ),
    Row(
        promise="A provider that names the account by the credential does not get it shown.",
        file="sidecar/verify.py",
        good='return without_secrets(account, secrets) if account else ""',
        bad='return account or ""',
        tests=("tests/admin/test_admin.py::test_an_account_that_is_the_secret",),
    ),
    Row(
        promise="A mistyped key never replaces a good one.",
        file="sidecar/import_admin.py",
        good="NOT_TAKEN = frozenset({Reason.CREDENTIAL_REJECTED, Reason.EGRESS_BLOCKED})",
        bad="NOT_TAKEN = frozenset({Reason.EGRESS_BLOCKED})",
        tests=("tests/admin/test_admin.py::test_a_rejected_key_does_not_replace_a_good_one",),
    ),
    Row(
        promise="A misspelt field of an import is refused, not lost.",
        file="sidecar/import_admin.py",
        good="class ImportRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):",
        bad="class ImportRequest(msgspec.Struct, frozen=True):",
        tests=("tests/admin/test_admin.py::test_what_is_wrong_with_an_import",),
    ),
)
