"""Answers: an operation's own tests of success, what says nothing, where a redirect leads, what a plain text says."""

from __future__ import annotations

from tests.prove_red.row import Row

SUCCESS = "tests/core/test_success.py"
REDIRECT = "tests/core/test_redirect.py"
WORDS = "tests/core/test_words.py"
OUTCOME = "tests/core/test_outcome.py"

ROWS = (
    Row(
        promise="A success passes the operation's own tests too.",
        file="sidecar/core/success.py",
        good="return own if test is None else (test, *own)",
        bad="return own if test is None else (test,)",
        tests=(f"{SUCCESS}::test_an_operation_has_tests_of_its_own",),
    ),
    Row(
        promise="Every test of an operation's list must hold.",
        file="sidecar/core/success.py",
        good="    tests = tests_of(provider, operation)\n    return next(",
        bad="    tests = tests_of(provider, operation)[:2]\n    return next(",
        tests=(f"{SUCCESS}::test_every_test_must_hold",),
    ),
    Row(
        promise="Of several places one that names an error is enough.",
        file="sidecar/core/success.py",
        good="    return all(_is_nothing(item, rest) for item in",
        bad="    return any(_is_nothing(item, rest) for item in",
        tests=(f"{SUCCESS}::test_of_several_places_none_is_none_but_empty_ones",),
    ),
    Row(
        promise="An error told in one word, where a list of them is due, is one.",
        file="sidecar/core/success.py",
        good="        return False  # an error told in one word, where a list of them is due",
        bad="        return True",
        tests=(f"{SUCCESS}::test_of_several_places_none_is_none_but_empty_ones",),
    ),
    Row(
        promise="What a gateway says in plain words makes no refusal of a provider's own rule.",
        file="sidecar/core/outcome.py",
        good="    if status >= 500 and is_plain(headers):  # noqa: PLR2004",
        bad="    if status >= 600 and is_plain(headers):  # noqa: PLR2004",
        tests=("tests/core/test_outcome.py::test_a_gateways_words_are_not_the_providers",),
    ),
    Row(
        promise="A short key, too, is not told in the place that an answer leads to.",
        file="sidecar/attempt.py",
        good='unsaid = proof.secrets.long if run.operation.fact.returns == "location" else proof.proofs',
        bad="unsaid = proof.proofs",
        tests=("tests/execute/test_path_key.py::test_a_short_key_is_in_no_place_that_is_told",),
    ),
    Row(
        promise="The test that failed says the code, before the paths of `errors`.",
        file="sidecar/core/outcome.py",
        good="    code = (test and dig_text(known, test.code)) or told.code\n",
        bad="    code = told.code\n",
        tests=(f"{SUCCESS}::test_the_test_that_failed_says_why",),
    ),
    Row(
        promise="A test of success that no case fails is found.",
        file="sidecar/sandbox/cover.py",
        good='            wanted.setdefault(_bare(test), f"{name}.success")\n',
        bad="            pass\n",
        tests=("tests/sandbox/test_check.py::test_a_test_that_several_operations_have_is_proved_by_one_answer",),
    ),
    Row(
        promise="An empty answer is a success only where its status says that something was taken.",
        file="sidecar/core/outcome.py",
        good="TAKEN = frozenset({201, 202})",
        bad="TAKEN = frozenset({200, 201, 202})",
        tests=(f"{OUTCOME}::test_what_is_not_json_is_never_a_success",),
    ),
    Row(
        promise="Whoever is told that it has moved, or to send a write elsewhere, has no success.",
        file="sidecar/core/redirect.py",
        good='return status in SEE_OTHER or (status == ASK_THERE and fact.method == "GET")',
        bad="return 300 < status < 400",
        tests=(f"{REDIRECT}::test_no_other_redirect_is_a_success",),
    ),
    Row(
        promise="No agent is handed a place that is none of the web.",
        file="sidecar/core/redirect.py",
        good="return place if is_address and parts.scheme in WEB else None",
        bad="return place if is_address else None",
        tests=(f"{REDIRECT}::test_a_place_that_is_none_of_the_web_is_no_success",),
    ),
    Row(
        promise="What a request asked with is not told again by the place that its answer leads to.",
        file="sidecar/core/redirect.py",
        good="return urlunsplit((base.scheme, base.netloc, path, parts.query, parts.fragment))",
        bad="return urlunsplit((base.scheme, base.netloc, path, parts.query or base.query, parts.fragment))",
        tests=(f"{REDIRECT}::test_a_place_is_told_as_a_whole_url",),
    ),
    Row(
        promise="A failure tells no text that could steer a terminal, and no bytes.",
        file="sidecar/core/body.py",
        good='text.startswith("<") or NO_TEXT.search(text)',
        bad='text.startswith("<")',
        tests=(f"{WORDS}::test_what_is_no_sentence_is_not_told",),
    ),
)
