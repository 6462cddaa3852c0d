"""A provider that tells everything: whatever secret it is shown or hands out, it repeats wherever an answer has room.

What it does to a request is the first part of the path, which a connection's base URL holds.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable
from urllib.parse import parse_qsl, quote, quote_plus, unquote_plus

from tests.auth_real.exchange import Answer, Asked

JSON = {"content-type": "application/json"}
NAMES = {  # of the values in a token request that prove something
    "refresh_token",
    "client_secret",
    "client_assertion",
    "assertion",
    "code",
    "code_verifier",
    "password",
    "token",
}
MODES = ("ok", "echo", "loud", "denied", "crash", "refused", "odd", "page", "moved", "rejected", "taken")
SHORT = 16  # characters; what is shorter is no secret of these tests


class Tattler:
    """`secrets` grows: also what clients derive of theirs (assertions, basic pairs) is to be seen nowhere."""

    def __init__(self, known: set[str], look: Callable[[], None]) -> None:
        """`look` is called while a request is under way, once for each credential that is taken."""
        self.secrets = set(known)
        self._look = look
        self.asked: list[str] = []  # mode and path of each request
        self._issued: set[str] = set()

    async def answer(self, asked: Asked) -> Answer | None:
        path, _, query = asked.path.partition("?")
        mode, _, rest = path.lstrip("/").partition("/")
        self._learn(asked, query)
        self.asked.append(f"{mode} {rest}")
        if mode == "ok" and asked.method == ("POST" if rest.startswith("token") else "GET"):
            self._look()
        if rest.startswith("token"):
            return self._token(mode, asked)
        return self._api(mode, asked)

    def _api(self, mode: str, asked: Asked) -> Answer:
        said = self._everything(asked)
        headers = {**JSON, "www-authenticate": f'Bearer error="invalid_token", said="{said}"', "x-request-id": said}
        body = json.dumps({"error": {"code": said[:60], "message": said}, "id": said}).encode()
        match mode:
            case "echo":
                return Answer(200, body, headers)
            case "loud":
                return Answer(500, body, headers)
            case "denied" | "taken":
                return Answer(401, body, headers)
            case "crash":
                return Answer(418, body, headers)
            case _:
                return Answer(200, b'{"account": "somebody"}', JSON)

    def _token(self, mode: str, asked: Asked) -> Answer:
        said = self._everything(asked)
        error = {"error": "invalid_grant", "error_description": said, "error_uri": f"https://x.example/?{said}"}
        renews = any(value in self._issued for _, value in self._fields(asked))
        match mode:
            case "taken" if not renews:
                first = {"access_token": self._issue(), "refresh_token": self._issue(), "expires_in": 3600}
                return Answer(200, json.dumps(first).encode(), JSON)
            case "refused" | "taken":
                return Answer(400, json.dumps(error).encode(), JSON)
            case "odd":
                issued: dict[str, object] = {
                    **error,
                    "error": said[:60],
                    "access_token": self._issue(),
                    "refresh_token": self._issue(),
                }
                return Answer(200, json.dumps(issued).encode(), JSON)
            case "page":
                return Answer(200, f"<html>{said}</html>".encode(), {"content-type": "text/html", "x-request-id": said})
            case "moved":
                where = f"https://elsewhere.example/{quote(said)}?token={quote(said)}"
                return Answer(302, said.encode(), {"location": where})
            case "rejected":
                return Answer(401, json.dumps({**error, "error": "invalid_client"}).encode(), JSON)
            case _:
                issued = {"access_token": self._issue(), "refresh_token": self._issue(), "scope": "a b", "said": said}
                return Answer(200, json.dumps({**issued, "expires_in": 3600}).encode(), JSON)

    def _issue(self) -> str:
        token = f"issued-{secrets.token_urlsafe(24)}"
        self.secrets.add(token)
        self._issued.add(token)
        return token

    def _learn(self, asked: Asked, query: str) -> None:
        """Take down what was shown: it proves somebody, now or for minutes."""
        shown = [value for name, value in asked.headers.items() if name in {"authorization", "x-key", "x-more"}]
        values = [part for header in shown for part in (header, header.partition(" ")[2])]
        values += [value for name, value in self._fields(asked) if name in NAMES]
        values += [value for _, value in parse_qsl(query)]
        for value in list(values):
            try:
                _, _, secret = base64.b64decode(value, validate=True).decode().partition(":")
            except ValueError:
                continue
            values += [secret, unquote_plus(secret)]
        self.secrets |= {value for value in values if len(value) >= SHORT}

    def _everything(self, asked: Asked) -> str:
        """All that the request holds, on one line."""
        fields = [value for _, value in self._fields(asked)]
        headers = [value for name, value in asked.headers.items() if name.startswith(("auth", "x-"))]
        return " ".join(" ".join([*headers, *fields, asked.path]).split())

    def _fields(self, asked: Asked) -> list[tuple[str, str]]:
        text = asked.body.decode("latin-1")
        if text.startswith("{"):
            return [(name, str(value)) for name, value in json.loads(text).items()]
        return parse_qsl(text)


def forms(secret: str) -> set[str]:
    """How a secret may stand in bytes: as it is, and as JSON, URLs and base64 write it. Of several lines, each."""
    lines = [line for line in secret.splitlines() if len(line) >= SHORT and not line.startswith("-----")]
    found: set[str] = set()
    for line in lines:
        found |= {line, quote(line, safe=""), quote_plus(line), json.dumps(line)[1:-1]}
        for shift in range(3):  # where it begins within three bytes decides its letters
            encoded = base64.b64encode(b"\0" * shift + line.encode()).decode()
            found |= {encoded[4:-4], base64.urlsafe_b64encode(b"\0" * shift + line.encode()).decode()[4:-4]}
    return {form for form in found if len(form) >= SHORT - 4}
