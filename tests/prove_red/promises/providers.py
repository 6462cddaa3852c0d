"""Providers: what a value may become, what an answer means, whether to try again, quotas, what a manifest may say."""

from __future__ import annotations

from tests.prove_red.row import Row

RENDER = "tests/core/test_render.py"
OUTCOME = "tests/core/test_outcome.py"
RETRY = "tests/core/test_retry.py"
RAW = "tests/core/test_raw.py"
LOAD = "tests/catalogue/test_load.py"

ROWS = (
    Row(
        promise="No value climbs out of its place in a path.",
        file="sidecar/core/render.py",
        good='if text in {"", ".", ".."}:',
        bad="if not text:",
        tests=(f"{RENDER}::test_what_cannot_be_a_segment_is_refused",),
    ),
    Row(
        promise="A value is one segment: a slash in it is encoded.",
        file="sidecar/core/render.py",
        good='    return quote(text, safe="")\n',
        bad="    return quote(text)\n",
        tests=(f"{RENDER}::test_a_value_is_one_segment",),
    ),
    Row(
        promise="A header's value cannot start a header of its own.",
        file="sidecar/core/render.py",
        good="if not text.isascii() or not text.isprintable():",
        bad="if not text.isascii():",
        tests=(f"{RENDER}::test_a_header_cannot_start_another",),
    ),
    Row(
        promise="A file's name cannot break its line in a multipart body.",
        file="sidecar/core/render.py",
        good='            _no_controls(parameter.file_name or parameter.name, str(file_name or ""))\n',
        bad="",
        tests=(f"{RENDER}::test_no_name_breaks_its_line",),
    ),
    Row(
        promise="Inputs are not left in the manifest for the next call.",
        file="sidecar/core/render.py",
        good="body: dict[str, Any] = deepcopy(dict(fixed))",
        bad="body: dict[str, Any] = dict(fixed)",
        tests=(f"{RENDER}::test_a_json_body_has_inputs_at_their_paths",),
    ),
    Row(
        promise="A misspelt field is refused at every depth.",
        file="sidecar/catalogue/load.py",
        good='schema.setdefault("additionalProperties", False)',
        bad='schema.setdefault("additionalProperties", True)',
        tests=(f"{LOAD}::test_objects_that_list_their_properties_are_closed",),
    ),
    Row(
        promise="A misspelt field is told with the name that was meant.",
        file="sidecar/catalogue/validate.py",
        good="    if close is not None:\n        detail",
        bad="    if close is not None and not known:\n        detail",
        tests=("tests/catalogue/test_validate.py::test_a_misspelt_field_has_a_nearest_name",),
    ),
    Row(
        promise="Only what says ok is ok: 1 is not true.",
        file="sidecar/core/outcome.py",
        good="same = value == test.equals and isinstance(value, bool) is isinstance(test.equals, bool)",
        bad="same = value == test.equals",
        tests=(f"{OUTCOME}::test_what_does_not_say_ok_is_not_ok",),
    ),
    Row(
        promise="An answer that lost its body does not read as a success.",
        file="sidecar/core/outcome.py",
        good='if fact.returns == "nothing" or status in NO_CONTENT or (operation.raw and not content):',
        bad='if fact.returns == "nothing" or status in NO_CONTENT or not content:',
        tests=(f"{OUTCOME}::test_what_is_not_json_is_never_a_success",),
    ),
    Row(
        promise="A write that ended in a 5xx may have been done.",
        file="sidecar/core/outcome.py",
        good="UNCERTAIN = frozenset({Reason.OUTCOME_UNKNOWN, Reason.PROVIDER_5XX, Reason.BAD_PROVIDER_RESPONSE})",
        bad="UNCERTAIN = frozenset({Reason.OUTCOME_UNKNOWN, Reason.BAD_PROVIDER_RESPONSE})",
        tests=(f"{OUTCOME}::test_a_status_has_its_reason",),
    ),
    Row(
        promise="A 503 was refused before acting only when it says when to come back.",
        file="sidecar/core/outcome.py",
        good="if status == 503 and wait is not None:",
        bad="if status == 503:",
        tests=(f"{OUTCOME}::test_503_with_a_time_was_refused_before_acting",),
    ),
    Row(
        promise="A write that was redirected to another page for its answer may have been done.",
        file="sidecar/core/outcome.py",
        good="SEE_OTHER = frozenset({302, 303})",
        bad="SEE_OTHER = frozenset({303})",
        tests=(f"{OUTCOME}::test_a_redirect_is_not_followed",),
    ),
    Row(
        promise="`Retry-After: 0` beside a later reset means the reset.",
        file="sidecar/core/wait.py",
        good="return max(next((wait for wait in waits if wait > 0), 0.0), 0.0)",
        bad="return max(waits[0], 0.0)",
        tests=(f"{OUTCOME}::test_a_limit_says_when_to_come_back",),
    ),
    Row(
        promise="A write is never sent again after bytes left, unless its method is idempotent.",
        file="sidecar/core/retry.py",
        good="return None if repeatable else",
        bad="return None if repeatable or reason is Reason.PROVIDER_5XX else",
        tests=(f"{RETRY}::test_the_table",),
    ),
    Row(
        promise="A write that was done is not sent again for its answer's sake.",
        file="sidecar/core/retry.py",
        good="return None if access is Access.READ else",
        bad="return None if repeatable else",
        tests=(f"{RETRY}::test_the_table",),
    ),
    Row(
        promise="Three attempts, and no more.",
        file="sidecar/core/retry.py",
        good="if attempt >= policy.attempts:",
        bad="if attempt > policy.attempts:",
        tests=(f"{RETRY}::test_the_last_attempt_says_so",),
    ),
    Row(
        promise="No attempt is planned for after the deadline.",
        file="sidecar/core/retry.py",
        good="if delay >= left:",
        bad="if delay >= policy.max_delay + left:",
        tests=(f"{RETRY}::test_a_retry_keeps_every_bound",),
    ),
    Row(
        promise="Nothing is sent again before the provider said.",
        file="sidecar/core/retry.py",
        good="return max(failure.retry_after or 0.0, backoff)",
        bad="return min(failure.retry_after or backoff, policy.max_delay)",
        tests=(f"{RETRY}::test_a_delay_backs_off_with_jitter_up_to_its_cap",),
    ),
    Row(
        promise="A closed path of the raw request is closed however it is written.",
        file="sidecar/core/raw.py",
        good='seen = SLASHES.sub("/", unquote(path)).lower()',
        bad='seen = SLASHES.sub("/", path).lower()',
        tests=(f"{RAW}::test_a_closed_path_is_closed_however_it_is_written",),
    ),
    Row(
        promise="The path of a raw request does not climb out of its base URL.",
        file="sidecar/core/raw.py",
        good="        decoded = unquote(segment)\n",
        bad="        decoded = segment\n",
        tests=(f"{RAW}::test_a_path_cannot_climb",),
    ),
    Row(
        promise="A raw request sets the headers that the manifest allows and no others.",
        file="sidecar/core/raw.py",
        good="        if name.lower() not in allowed:\n",
        bad='        if name.lower() in ("authorization", "host"):\n',
        tests=(f"{RAW}::test_no_other_header_can_be_set",),
    ),
    Row(
        promise="A subdomain never leads outside of the provider's domain.",
        file="sidecar/core/base_url.py",
        good="if not LABEL.fullmatch(given):",
        bad="if not LABEL.match(given):",
        tests=("tests/core/test_base_url.py::test_a_subdomain_is_one_label",),
    ),
    Row(
        promise="A self-hosted server's URL has no user and no query.",
        file="sidecar/core/base_url.py",
        good='if "@" in parts.netloc or "?" in given or "#" in given or "\\\\" in given:',
        bad='if "?" in given or "#" in given or "\\\\" in given:',
        tests=("tests/core/test_base_url.py::test_a_server_is_a_plain_url",),
    ),
    Row(
        promise="A key that stands twice in a manifest is an error.",
        file="sidecar/adapters/yaml_file.py",
        good="            if key.value in found:\n",
        bad="            if key in found:\n",
        tests=(f"{LOAD}::test_a_manifest_that_is_no_yaml_names_the_line",),
    ),
    Row(
        promise="A misspelt key of an operation is told with its path, not ignored.",
        file="sidecar/manifest.py",
        good="class Schema(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True,",
        bad="class Schema(msgspec.Struct, frozen=True, kw_only=True,",
        tests=(f"{LOAD}::test_a_wrong_operation_names_its_key",),
    ),
    Row(
        promise="A manifest cannot call an answer a request that was never sent.",
        file="sidecar/catalogue/manifest_mistakes.py",
        good="        if rule.reason not in ANSWERED:\n",
        bad="        if rule.reason is Reason.BUG:\n",
        tests=(f"{LOAD}::test_a_provider_that_makes_no_sense_is_told",),
    ),
    Row(
        promise="A subdomain's suffix starts with a dot: `evil` does not make evilexample.com.",
        file="sidecar/catalogue/manifest_mistakes.py",
        good='SUFFIX = re.compile(r"(\\.[a-z0-9]',
        bad='SUFFIX = re.compile(r"(\\.?[a-z0-9]',
        tests=(f"{LOAD}::test_a_provider_that_makes_no_sense_is_told",),
    ),
    Row(
        promise="A credential is tried by reading.",
        file="sidecar/catalogue/manifest_mistakes.py",
        good="    if operation.access is Access.WRITE:\n",
        bad="    if operation.raw and operation.access is Access.WRITE:\n",
        tests=(f"{LOAD}::test_a_provider_that_makes_no_sense_is_told",),
    ),
    Row(
        promise="A hook cannot end the process.",
        file="sidecar/catalogue/load.py",
        good="    except (Exception, SystemExit) as error:\n",
        bad="    except Exception as error:\n",
        tests=(f"{LOAD}::test_hooks_that_do_not_load_are_told",),
    ),
)
