"""What the answers of token endpoints mean, the odd ones too: tokens come only of an answer that holds one."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from sidecar.auth.token_answer import LONGEST_LIFE, LONGEST_TOKEN, Granted, Refused, read
from sidecar.credential import Tokens
from sidecar.kinds import AnswerTest, AppInstallation, OAuth2, TokenAnswer
from sidecar.secret import Secret

NOW = 1_800_000_000.0
BEFORE = Tokens(access=Secret("old"), refresh=Secret("old refresh"), scopes=("a", "b"))
WHOLE = {"access_token": "new", "refresh_token": "next", "expires_in": 3600, "scope": "a c", "token_type": "Bearer"}


def oauth(**answer: Any) -> OAuth2:
    return OAuth2(authorize_url="https://a.example/a", token_url="https://a.example/t", answer=TokenAnswer(**answer))


def answered(
    body: object,
    auth: OAuth2 | AppInstallation | None = None,
    status: int = 200,
    before: Tokens | None = BEFORE,
    **headers: str,
) -> Granted | Refused:
    content = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return read(auth or oauth(), status, headers, content, NOW, before)


def granted(body: object, auth: OAuth2 | AppInstallation | None = None, **also: Any) -> Granted:
    found = answered(body, auth, **also)
    assert isinstance(found, Granted)
    return found


def refused(body: object, auth: OAuth2 | None = None, **also: Any) -> Refused:
    found = answered(body, auth, **also)
    assert isinstance(found, Refused)
    return found


def test_a_whole_answer() -> None:
    """Token, refresh token, lifetime from when it was asked for, scopes."""
    assert granted(WHOLE).tokens == Tokens(
        access=Secret("new"), refresh=Secret("next"), expires=NOW + 3600, lifetime=3600, scopes=("a", "c")
    )


@pytest.mark.parametrize(
    ("said", "lifetime"),
    [
        (3600, 3600),
        ("3600", 3600),
        (3599.5, 3599.5),
        (0, None),
        ("0", None),
        (-1, None),
        (None, None),
        ("", None),
        ("soon", None),
        ("1e9", None),
        (True, None),
        ([3600], None),
        ({"seconds": 1}, None),
        (1e9, LONGEST_LIFE),
        (10**18, None),
        (10**400, None),
        (1e300, None),
    ],
)
def test_every_lifetime(said: object, lifetime: float | None) -> None:
    """What makes no sense is no lifetime: the token serves until the provider rejects it, and is never over at once."""
    tokens = granted(WHOLE | {"expires_in": said}).tokens
    assert tokens.lifetime == lifetime
    assert tokens.expires == (None if lifetime is None else NOW + lifetime)


def test_no_lifetime_is_the_manifests() -> None:
    """Where the answer never says it, the manifest may."""
    body = {"access_token": "new"}
    assert granted(body).tokens.expires is None
    assert granted(body, oauth(lifetime=7200)).tokens.expires == NOW + 7200
    assert granted(body | {"expires_in": 0}, oauth(lifetime=7200)).tokens.expires == NOW + 7200
    assert granted(body | {"expires_in": 60}, oauth(lifetime=7200)).tokens.expires == NOW + 60


def test_a_lifetime_in_milliseconds() -> None:
    """As Matrix says it."""
    auth = oauth(expires_in=("expires_in_ms",), expires_unit="milliseconds")
    assert granted({"access_token": "new", "expires_in_ms": 300_000}, auth).tokens.lifetime == 300


@pytest.mark.parametrize(
    ("end", "date", "lifetime"),
    [
        ("2027-01-15T09:00:00Z", None, 3600),
        ("2027-01-15T10:00:00+01:00", None, 3600),
        (NOW + 3600, None, 3600),
        (str(int(NOW) + 3600), None, 3600),
        ("2027-01-15T09:00:00Z", "Fri, 15 Jan 2027 08:30:00 GMT", 1800),
        ("2027-01-15T09:00:00Z", "nonsense", 3600),
        ("2027-01-15T07:00:00Z", None, None),
        ("tomorrow", None, None),
        (None, None, None),
    ],
)
def test_an_end_in_place_of_a_lifetime(end: object, date: str | None, lifetime: float | None) -> None:
    """An end is by the provider's clock: where it shows that (Date), a difference of clocks does not count."""
    auth = AppInstallation(token_url="https://a.example/{installation_id}")
    headers = {} if date is None else {"date": date}
    tokens = granted({"token": "new", "expires_at": end}, auth, **headers).tokens
    assert tokens.lifetime == lifetime
    assert tokens.expires == (None if lifetime is None else NOW + lifetime)


@pytest.mark.parametrize("said", [{}, {"refresh_token": None}, {"refresh_token": ""}, {"refresh_token": 7}])
def test_the_refresh_token_before_stays(said: dict[str, object]) -> None:
    """A server that sends none has not replaced it (RFC 6749 section 6)."""
    assert granted({"access_token": "new"} | said).tokens.refresh == Secret("old refresh")
    assert granted({"access_token": "new"} | said, before=None).tokens.refresh is None


@pytest.mark.parametrize(
    ("said", "scopes"),
    [
        ("a c", ("a", "c")),
        ("a,c", ("a", "c")),
        ("a, c", ("a", "c")),
        (["a", "c", 1], ("a", "c")),
        ("", ("a", "b")),
        (None, ("a", "b")),
        ([], ("a", "b")),
        (7, ("a", "b")),
    ],
)
def test_scopes_in_every_form(said: object, scopes: tuple[str, ...]) -> None:
    """Spaces, commas, a list; an answer without keeps those before."""
    assert granted({"access_token": "new", "scope": said}).tokens.scopes == scopes


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"access_token": None},
        {"access_token": ""},
        {"access_token": 7},
        {"access_token": ["new"]},
        {"access_token": "a\r\nX: y"},
        {"access_token": "näw"},
        {"access_token": "x" * (LONGEST_TOKEN + 1)},
        {"token": "new"},
        [],
        "new",
        None,
        b"",
        b"<html>Sign in</html>",
        b"access_token=new&token_type=bearer",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"access_token": "new"',
        b'{"access_token": NaN}',
    ],
)
def test_no_token_is_no_success(body: object) -> None:
    """Whatever the status: the answer is refused, not final, and the endpoint may have used the refresh token up."""
    found = refused(body)
    assert not found.final
    assert found.perhaps_spent
    assert "access token" in found.detail


@pytest.mark.parametrize(
    ("auth", "body", "code"),
    [
        (oauth(), {"error": "bad_refresh_token"}, "bad_refresh_token"),
        (oauth(), WHOLE | {"error": "bad_refresh_token"}, "bad_refresh_token"),
        (oauth(), WHOLE | {"error": {"message": "no"}}, None),
        (oauth(success=AnswerTest(path="ok", equals=True)), WHOLE | {"ok": False, "error": "bad"}, "bad"),
        (oauth(success=AnswerTest(path="ok", equals=True)), WHOLE, None),
        (oauth(error=("problem.code",)), {"problem": {"code": "gone"}}, "gone"),
    ],
)
def test_an_error_of_status_200(auth: OAuth2, body: dict[str, object], code: str | None) -> None:
    """An error is one, whatever stands beside it, and whatever the status."""
    found = refused(body, auth)
    assert found.code == code
    assert not found.final


def test_null_beside_a_token_is_no_error() -> None:
    """Some say `error: null` when there is none."""
    assert granted(WHOLE | {"error": None}).tokens.access == Secret("new")
    assert granted(WHOLE | {"error": ""}).tokens.access == Secret("new")


@pytest.mark.parametrize(
    ("status", "code", "final"),
    [
        (400, "invalid_grant", True),
        (401, "invalid_grant", True),
        (403, "invalid_grant", True),
        (200, "invalid_grant", True),
        (400, "bad_refresh_token", True),
        (400, "invalid_request", False),
        (401, "invalid_client", False),
        (400, "temporarily_unavailable", False),
        (408, "invalid_grant", False),
        (429, "invalid_grant", False),
        (500, "invalid_grant", False),
        (503, "invalid_grant", False),
        (302, "invalid_grant", False),
        (400, None, False),
    ],
)
def test_when_a_grant_is_gone(status: int, code: str | None, *, final: bool) -> None:
    """Only a refusal of the grant itself: nothing that a proxy, a limit or a failing server says ends a grant."""
    auth = oauth(final_errors=("invalid_grant", "bad_refresh_token"))
    found = refused({"error": code} if code else b"no", auth, status=status)
    assert found.final is final
    assert found.status == status


@pytest.mark.parametrize(
    ("status", "spent"), [(400, False), (401, False), (429, False), (500, True), (502, True), (503, True)]
)
def test_whether_the_token_may_be_used_up(status: int, *, spent: bool) -> None:
    """A refusal spends nothing; a server that failed may have failed after it acted."""
    assert refused(b"no", status=status).perhaps_spent is spent


def test_a_redirect_is_not_followed() -> None:
    """It is told where it led, by host alone: the rest may hold what was sent."""
    found = refused(b"", status=302, location="https://evil.example/x?refresh_token=canary")
    assert "evil.example" in found.detail
    assert "canary" not in found.detail
    assert not found.final


@pytest.mark.parametrize(("said", "wait"), [("7", 7.0), ("0", 0.0), ("-3", 0.0), ("words", None)])
def test_how_long_to_wait(said: str, wait: float | None) -> None:
    """As the answer says."""
    found = read(oauth(), 429, {"retry-after": said}, b"slow down", NOW, BEFORE)
    assert isinstance(found, Refused)
    assert found.retry_after == wait


def test_nested_tokens() -> None:
    """A manifest says where they stand (Slack's user token); the first path that leads to something counts."""
    auth = oauth(
        access_token=("authed_user.access_token", "access_token"),
        refresh_token=("authed_user.refresh_token",),
        expires_in=("authed_user.expires_in",),
        scope=("authed_user.scope",),
        keep={"team": "team.id", "enterprise": "enterprise.id"},
        success=AnswerTest(path="ok", equals=True),
    )
    body = {
        "ok": True,
        "access_token": "bot",
        "team": {"id": "T1"},
        "enterprise": None,
        "authed_user": {"access_token": "user", "refresh_token": "next", "expires_in": 43200, "scope": "a,c"},
    }
    found = granted(body, auth)
    assert found.tokens.access == Secret("user")
    assert found.tokens.refresh == Secret("next")
    assert found.tokens.scopes == ("a", "c")
    assert found.kept == {"team": "T1"}


def test_what_stays_with_the_connection_is_short_and_plain() -> None:
    """A value that no URL or header could hold is none."""
    auth = oauth(keep={"a": "a", "b": "b", "c": "c", "d": "d"})
    body = WHOLE | {"a": "x\ny", "b": "x" * 5000, "c": 12, "d": {"e": 1}}
    assert granted(body, auth).kept == {"c": "12"}


def test_what_is_told_is_on_one_line_and_short() -> None:
    """Whatever a stranger writes."""
    found = refused({"error": "e" * 5000, "error_description": "a\n\x1b[31m\tb" + "c" * 5000}, status=400)
    assert found.detail.isprintable()
    assert len(found.detail) < 1000


def test_no_secret_is_shown() -> None:
    """Neither by printing what was granted nor in what was refused."""
    assert "new" not in repr(granted(WHOLE))
    assert "next" not in repr(granted(WHOLE))
    assert "old" not in repr(refused(b"no"))


@pytest.mark.parametrize(
    ("code", "said", "told"),
    [
        ("INVALID_CREDENTIALS", "Invalid user credentials.", "INVALID_CREDENTIALS: Invalid user credentials."),
        ("invalid_token", "The token expired", "invalid_token: The token expired"),
        ("invalid_grant", "token=abcdef is unknown", "invalid_grant: token=[redacted] is unknown"),
        ("invalid_grant", f"{'x' * 296}hunter2hunter2", f"invalid_grant: {'x' * 296}"),
    ],
)
def test_a_code_is_no_name_of_a_secret(code: str, said: str, told: str) -> None:
    """What follows it are the provider's words; what they themselves name as a secret, or a part of one, is cut out."""
    body = msgspec.json.encode({"error": code, "error_description": said})
    found = read(oauth(), 400, {}, body, NOW, None, ["hunter2hunter2"])
    assert isinstance(found, Refused)
    assert found.code == code
    assert found.detail.startswith(f"the token endpoint answered 400: {told}")
    assert "hunter" not in found.detail


def test_where_a_token_endpoint_redirects_to_is_told_without_secrets() -> None:
    """Short, too: a host is a stranger's word as any other."""
    for host in ("hunter2hunter2.evil.example", "x" * 5_000):
        found = read(oauth(), 302, {"location": f"https://{host}/"}, b"", NOW, None, ["hunter2hunter2"])
        assert isinstance(found, Refused)
        assert "hunter" not in found.detail
        assert len(found.detail) < 500


def test_a_grants_end_is_read_before_secrets_are_cut_out() -> None:
    """A secret that is a word of the code does not keep the grant alive."""
    found = read(oauth(), 400, {}, b'{"error": "invalid_grant"}', NOW, None, ["grant"])
    assert isinstance(found, Refused)
    assert found.final
