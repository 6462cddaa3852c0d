"""Connecting accounts: one browser, one answer, the account that is meant, and nobody led astray."""

from __future__ import annotations

from tests.prove_red.row import Row

FLOW = "sidecar/auth/flow.py"
PURE = "tests/auth/test_flow.py"
PAGES = "tests/connect/test_pages.py"
SUBJECTS = "tests/connect/test_subjects.py"

ROWS = (
    Row(
        promise="A link that was opened opens no second time.",
        file=FLOW,
        good="return flow if flow.stage is Stage.OFFERED else Ended(Ending.LINK_USED)",
        bad="return flow",
        tests=(f"{PURE}::test_a_link_is_used_once", f"{PAGES}::test_a_link_is_looked_at_without_being_used"),
    ),
    Row(
        promise="A provider's answer counts in the browser that opened the link alone.",
        file=FLOW,
        good="    if not _same(flow.browser, browser):",
        bad="    if not browser:",
        tests=(f"{PURE}::test_what_is_refused",),
    ),
    Row(
        promise="An answer with another state is refused.",
        file=FLOW,
        good="    if not _same(flow.state, returned.state):",
        bad="    if not returned.state:",
        tests=(f"{PURE}::test_what_is_refused",),
    ),
    Row(
        promise="An answer counts once.",
        file=FLOW,
        good="    if flow.stage is not Stage.BEGUN:",
        bad="    if flow.stage is Stage.OFFERED:",
        tests=(f"{PURE}::test_an_answer_counts_once",),
    ),
    Row(
        promise="A provider that always names itself is not believed when it is silent.",
        file=FLOW,
        good="silent = returned.issuer is None and not auth.issuer_always",
        bad="silent = returned.issuer is None",
        tests=(f"{PURE}::test_what_is_refused",),
    ),
    Row(
        promise="What is left of a flow that is over holds no secret.",
        file=FLOW,
        good="        verifier=None,\n        account=account,",
        bad="        account=account,",
        tests=(f"{PURE}::test_what_is_left_of_a_flow_holds_no_secret",),
    ),
    Row(
        promise="Another account than the expected one is not connected.",
        file="sidecar/exchange.py",
        good="        if not account_fits(flow.expected_account, account):",
        bad="        if account is None and flow.expected_account:",
        tests=(f"{PAGES}::test_what_goes_wrong_after_consent",),
    ),
    Row(
        promise="What an operator disabled is not connected around.",
        file="sidecar/exchange.py",
        good="            if there.credential.status is Status.DISABLED:",
        bad="            if there.credential.status is Status.DISABLED and there.revision == over:",
        tests=(f"{SUBJECTS}::test_what_is_disabled_is_not_connected_around",),
    ),
    Row(
        promise="A link that was made before a revocation brings nothing back.",
        file="sidecar/exchange.py",
        good="            if there.credential.status is Status.REVOKED and there.revision != over:",
        bad="            if there.credential.status is Status.REVOKED and over is None:",
        tests=(f"{SUBJECTS}::test_a_link_before_a_revocation_brings_nothing_back",),
    ),
    Row(
        promise="An agent names no server that an OAuth app's secret or an owner's token would go to.",
        file="sidecar/offer.py",
        good="        elif not _is_trusted(provider, app, given, known):",
        bad="        elif app.servers and not _is_trusted(provider, app, given, known):",
        tests=(f"{SUBJECTS}::test_an_agent_names_no_server",),
    ),
    Row(
        promise="A browser is sent back to what the settings list and nowhere else.",
        file=FLOW,
        good='    return given.path.rstrip("/") == folder or given.path.startswith(f"{folder}/")',
        bad="    return given.path.startswith(folder)",
        tests=(f"{PURE}::test_a_browser_returns_nowhere_else",),
    ),
    Row(
        promise="Another website presses no button of ours.",
        file="sidecar/pages/listener.py",
        good='if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":',
        bad='if request.headers.get("sec-fetch-site", "same-origin") == "cross-site":',
        tests=(f"{PAGES}::test_another_site_presses_no_button",),
    ),
    Row(
        promise="A parameter that stands twice is not guessed at.",
        file="sidecar/pages/listener.py",
        good="        if len(named) != len(parameters) or len(named) > PARAMETERS:",
        bad="        if len(named) > PARAMETERS:",
        tests=(f"{PAGES}::test_parameters_that_stand_twice",),
    ),
    Row(
        promise="Nobody is sent where a Host header says.",
        file="sidecar/pages/listener.py",
        good="    application.router.redirect_slashes = False",
        bad="    application.router.redirect_slashes = True",
        tests=(f"{PAGES}::test_nobody_is_sent_where_a_host_header_says",),
    ),
    Row(
        promise="A look at the callback uses no answer up.",
        file="sidecar/pages/listener.py",
        good='    route.methods = {"GET"}',
        bad='    route.methods = {"GET", "HEAD"}',
        tests=(f"{PAGES}::test_other_methods_are_no_answer",),
    ),
    Row(
        promise="Names on a page are text.",
        file="sidecar/pages/html.py",
        good='rows += [("To be used by", escape(offer.tenant)), ("Under the name", escape(offer.connection))]',
        bad='rows += [("To be used by", escape(offer.tenant)), ("Under the name", offer.connection)]',
        tests=(f"{PAGES}::test_names_are_escaped",),
    ),
    Row(
        promise="A browser that goes away loses no code that is being exchanged.",
        file="sidecar/pages/listener.py",
        good="    tasks.start_soon(work)\n",
        bad="    await work()\n",
        tests=(f"{PAGES}::test_a_browser_that_goes_away_loses_nothing",),
    ),
    Row(
        promise="A link is not printed with the value that holds it.",
        file="sidecar/auth/flow.py",
        good='        return f"Link({self.place})"',
        bad="        return msgspec.json.encode(self).decode()",
        tests=(f"{PURE}::test_what_opens_a_flow_is_not_printed",),
    ),
    Row(
        promise="A refresh token that was used up is not stored again, unasked or not.",
        file="sidecar/import_admin.py",
        good="        refused = await self._unspent(address, credential) if is_issued(auth) else None",
        bad="        refused = await self._unspent(address, credential) if is_issued(auth) and asked.verify else None",
        tests=("tests/admin/test_import_of_tokens.py::test_the_same_import_unasked_ends_no_grant_either",),
    ),
    Row(
        promise="A lifetime of hundreds of digits costs no token.",
        file="sidecar/core/number.py",
        good="    except OverflowError:",
        bad="    except ZeroDivisionError:",
        tests=(
            "tests/auth/test_token_answer.py::test_every_lifetime",
            "tests/core/test_number.py::test_what_is_a_number",
        ),
    ),
    Row(
        promise="An endpoint that wants to be left alone for years ends no connection.",
        file="sidecar/auth/refresher.py",
        good="wait = max(min(failure.retry_after or 0.0, LONGEST_TOLD), wait)",
        bad="wait = max(failure.retry_after or 0.0, wait)",
        tests=("tests/auth/test_live.py::test_an_endpoint_that_wants_ever_to_be_left_alone_is_asked_again",),
    ),
    Row(
        promise="Connections of one age are not renewed at one moment.",
        file="sidecar/auth/life.py",
        good="window * (0.5 + 0.5 * jitter)",
        bad="window * 1.0",
        tests=("tests/auth/test_life.py::test_many_that_end_at_one_moment_are_not_due_at_one",),
    ),
    Row(
        promise="The background renews a few at once.",
        file="sidecar/auth/live.py",
        good="and self._due[0][0] <= now and len(self._background) < AT_ONCE:",
        bad="and self._due[0][0] <= now:",
        tests=("tests/auth/test_faults.py::test_the_background_renews_a_few_at_once",),
    ),
)
