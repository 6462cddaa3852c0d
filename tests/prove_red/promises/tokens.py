"""Asking for tokens: as the right app, once, read with doubt, told without secrets, sent nowhere else."""

from __future__ import annotations

from tests.prove_red.row import Row

ANSWER = "sidecar/auth/token_answer.py"
ENDPOINT = "sidecar/auth/endpoint.py"
EXCHANGE = "sidecar/auth/token_exchange.py"
CLIENTS = "sidecar/auth/clients.py"
REQUEST = "sidecar/auth/token_request.py"
APPS = "sidecar/auth/apps.py"
URL = "sidecar/core/base_url.py"
ANSWERS = "tests/auth/test_token_answer.py"
ASKED = "tests/auth/test_endpoint.py"
IMPORTS = "tests/admin/test_import_of_tokens.py"
ACCOUNTS = "tests/core/test_connection_url.py"

ROWS = (
    Row(
        promise="A refresh token that was imported and rotated is not spent by a second import.",
        file="sidecar/import_admin.py",
        good="if there is None or not used_up(there.credential, credential):",
        bad="if there is not None:",
        tests=(f"{IMPORTS}::test_the_same_import_again_ends_no_grant",),
    ),
    Row(
        promise="What a failing server says ends no grant.",
        file=ANSWER,
        good="final=status in REFUSALS and status not in UNDECIDED and named in answer.final_errors",
        bad="final=named in answer.final_errors",
        tests=(f"{ANSWERS}::test_when_a_grant_is_gone",),
    ),
    Row(
        promise="A lifetime of nothing is none: a token is not over at once.",
        file=ANSWER,
        good="if said is None or said <= 0:",
        bad="if said is None:",
        tests=(f"{ANSWERS}::test_every_lifetime",),
    ),
    Row(
        promise="The refresh token before stays where the answer brings none.",
        file=ANSWER,
        good="return before.refresh if before else None",
        bad="return None",
        tests=(f"{ANSWERS}::test_the_refresh_token_before_stays",),
    ),
    Row(
        promise="An error of status 200 is one, also beside a token.",
        file=ANSWER,
        good="return any(dig(body, path) for path in answer.error)",
        bad="return False",
        tests=(f"{ANSWERS}::test_an_error_of_status_200",),
    ),
    Row(
        promise="A token that no header can carry is none.",
        file=ANSWER,
        good=" and len(value) <= LONGEST_TOKEN and value.isascii() and value.isprintable()",
        bad="",
        tests=(f"{ANSWERS}::test_no_token_is_no_success",),
    ),
    Row(
        promise="A refresh token is not sent as another app than it was issued to.",
        file=CLIENTS,
        good="if bound is not None and bound != app.client_id:",
        bad="if False:",
        tests=(f"{ASKED}::test_nothing_is_sent_that_cannot_succeed",),
    ),
    Row(
        promise="The client secret before is tried after the newest is refused, and only then.",
        file=ENDPOINT,
        good="if not isinstance(outcome, Refused) or outcome.code not in auth.answer.client_errors:",
        bad="if not isinstance(outcome, Refused):",
        tests=(f"{ASKED}::test_two_client_secrets",),
    ),
    Row(
        promise="Tokens outlive a call after them that fails.",
        file=ENDPOINT,
        good="        return {}\n",
        bad='        raise Unfit("nothing is known of the account")\n',
        tests=(f"{ASKED}::test_tokens_outlive_a_follow_up_that_fails",),
    ),
    Row(
        promise="A limit of a token endpoint holds for every connection.",
        file=EXCHANGE,
        good="self._pace.close(where, min(wait, LONGEST_PAUSE))",
        bad="pass",
        tests=(
            f"{ASKED}::test_a_limit_holds_for_every_connection",
            f"{ASKED}::test_a_limit_beyond_the_deadline_is_told_at_once",
        ),
    ),
    Row(
        promise="Lifetimes count from when the question left.",
        file=EXCHANGE,
        good="        return Answered(answer, began)",
        bad="        return Answered(answer, began - 60)",
        tests=(f"{ASKED}::test_lifetimes_count_from_when_it_was_asked",),
    ),
    Row(
        promise="What a token endpoint repeats of a secret is not told.",
        file=EXCHANGE,
        good="            [*question.secrets, *secrets],",
        bad="            [],",
        tests=(f"{ASKED}::test_what_a_provider_repeats_is_not_told",),
    ),
    Row(
        promise="A token endpoint's sentence is told whole, also behind a code that reads as a secret's name.",
        file=ANSWER,
        good='about = ": ".join(redact_text(text) for text in (code, description) if text)',
        bad='about = redact_text(": ".join(text for text in (code, description) if text))',
        tests=(f"{ANSWERS}::test_a_code_is_no_name_of_a_secret",),
    ),
    Row(
        promise="A wrong file of a tenant's app does not make it everybody's app.",
        file=APPS,
        good="                return self._kept(name, str(error))",
        bad="                continue",
        tests=("tests/auth/test_apps.py::test_a_wrong_file_of_a_tenant_is_not_everybodys",),
    ),
    Row(
        promise="The parameters of the protocol are not a manifest's to change.",
        file=REQUEST,
        good="    return _posted(url, client, auth.token_parameters | form)\n\n\ndef client_credentials_request(",
        bad="    return _posted(url, client, form | auth.token_parameters)\n\n\ndef client_credentials_request(",
        tests=("tests/auth/test_token_request.py::test_what_a_manifest_adds",),
    ),
    Row(
        promise="What a provider says of an account leads a token to the provider's own hosts alone.",
        file=URL,
        good="    if host != own and not host.endswith(fact.suffixes):",
        bad="    if not host:",
        tests=(f"{ACCOUNTS}::test_a_token_goes_nowhere_but_to_the_provider",),
    ),
    Row(
        promise="What is said of an account stays one segment of the path that calls go to.",
        file=URL,
        good="lambda match: path_segment(match[1], values[match[1]])",
        bad="lambda match: values[match[1]]",
        tests=(f"{ACCOUNTS}::test_a_value_stays_one_segment_of_the_path",),
    ),
    Row(
        promise="A user name that is the whole key stands in no URL.",
        file=URL,
        good='if "username" in names and credential.kind == "basic" and not credential.fields["password"].reveal():',
        bad="if False:",
        tests=(
            f"{ACCOUNTS}::test_a_user_name_that_is_the_key_stands_in_no_url",
            "tests/admin/test_admin.py::test_a_user_name_that_no_path_can_hold",
        ),
    ),
    Row(
        promise="No manifest puts a secret field into the base URL.",
        file="sidecar/catalogue/base_url_mistakes.py",
        good="if name in (*fields_of(auth), *optional_fields_of(auth)) and not names_somebody(auth, name):",
        bad="if name in fields_of(auth) and not names_somebody(auth, name):",
        tests=(
            "tests/catalogue/test_kind_mistakes.py::test_what_is_a_secret_of_one_kind_is_no_part_of_the_url_of_another",
        ),
    ),
    Row(
        promise="A part of a key that is said to be no secret is cut out of no answer.",
        file="sidecar/auth/kind.py",
        good="return name not in {part.field for part in more if not part.secret}",
        bad="return True",
        tests=("tests/auth/test_kind.py::test_what_nobody_is_shown",),
    ),
    Row(
        promise="A connection that nobody consented to in a browser learns where its account is.",
        file=ENDPOINT,
        good="        follow_up = asked.auth.follow_up\n",
        bad="        follow_up = asked.auth.follow_up if isinstance(asked.auth, OAuth2) else None\n",
        tests=(f"{ASKED}::test_every_token_can_be_asked_whose_it_is",),
    ),
    Row(
        promise="A grant of the provider's own is asked for with the account that the credential names.",
        file=REQUEST,
        good='form = {"grant_type": auth.grant_type, **further}',
        bad='form = {"grant_type": auth.grant_type}',
        tests=(f"{ASKED}::test_a_grant_of_the_providers_own",),
    ),
    Row(
        promise="A value of an account is named as the provider spells it.",
        file=URL,
        good=r'PLACEHOLDER = re.compile(r"\{([A-Za-z0-9_]+)\}")',
        bad=r'PLACEHOLDER = re.compile(r"\{([a-z0-9_]+)\}")',
        tests=("tests/connect/test_pages.py::test_what_a_redirect_brings_says_where_the_api_is",),
    ),
    Row(
        promise="What came for a refresh token that is used up is stored, also where it is not taken.",
        file="sidecar/import_admin.py",
        good="if isinstance(verified, Failure) and verified.reason in NOT_TAKEN and not rotated:",
        bad="if isinstance(verified, Failure) and verified.reason in NOT_TAKEN:",
        tests=(f"{IMPORTS}::test_a_rotated_token_is_never_thrown_away",),
    ),
)
