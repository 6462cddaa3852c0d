"""A credential in plain, in the forms that its calls need: what requests carry, what answers are looked through for.

It is made once for a credential, hangs on it and ends with it. It shows itself nowhere, as a `Secret` does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple, NoReturn
from urllib.parse import quote

import httpx

from sidecar.auth.kind import ACCESS_TOKEN, auth_of, pair, proofs_of, secrets_of
from sidecar.core.redact import Hidden
from sidecar.core.refusal import NO_WORD
from sidecar.credential import Credential
from sidecar.kinds import ApiKey, Auth, Basic, Bearer
from sidecar.model import Request
from sidecar.raw_headers import RawHeaders
from sidecar.secret import SHOWN

# Beside letters, digits and -._~ what one segment of a path may hold as it is (RFC 3986 section 3.3).
IN_SEGMENT = "!$&'()*+,;=:@"
LONGEST_URL = 1_024  # characters of a URL that is remembered: callers and providers say many, of up to 64 KiB


class Carried(NamedTuple):
    """What a credential adds to a request: a segment of the path and parameters of the query, encoded, and headers."""

    segment: str
    query: str
    headers: list[tuple[bytes, bytes]]

    def __repr__(self) -> str:
        return SHOWN


class Proof:
    """What a credential comes to. `secrets` are what nobody is shown, also where the provider says it; `proofs` what no
    answer may hold though the provider means to say it.
    """

    __slots__ = ("_carried", "_fields", "auth", "proofs", "secrets")

    def __init__(self, auth: Auth, fields: Mapping[str, str]) -> None:
        """`fields` in plain."""
        self.auth = auth
        self.secrets = Hidden(secrets_of(auth, fields))
        self.proofs = Hidden(proof for proof in proofs_of(auth, fields) if len(proof) >= NO_WORD)
        self._fields = fields
        self._carried: Carried | None = None

    def carried(self) -> Carried:
        """What it adds to a request."""
        if self._carried is None:
            parts = _parts(self.auth, self._fields)
            segment = "".join(quote(value, safe=IN_SEGMENT) for place, _, value in parts if place == "path")
            query = [
                f"{quote(name, safe='')}={quote(value, safe='')}" for place, name, value in parts if place == "query"
            ]
            headers = [_raw(name, value) for place, name, value in parts if place == "header"]
            self._carried = Carried(segment, "&".join(query), headers)
        return self._carried

    def __repr__(self) -> str:
        return SHOWN

    def __reduce__(self) -> NoReturn:
        raise TypeError("a proof is not pickled or copied")


def proof_of(kinds: Sequence[Auth], credential: Credential) -> Proof | None:
    """The credential as the kind of that name in a manifest; None where it has no such kind (any more)."""
    kept = vars(credential)
    auth, known = auth_of(kinds, credential.kind), kept.get("proof")
    if auth is None or (known is not None and known.auth is auth):
        return None if auth is None else known
    made = kept["proof"] = Proof(auth, credential.revealed())
    return made


class Authorised(httpx.Request):
    """A request with its credential and its whole body. HTTPX would parse, copy and put together
    anew what is here already.
    """

    def __init__(self, method: str, url: httpx.URL, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        self.method = method
        self.url = url
        self.headers = RawHeaders(headers)
        self.extensions = {}
        self.stream = httpx.ByteStream(body)
        self.body = body

    @property
    def content(self) -> bytes:
        return self.body

    def __repr__(self) -> str:
        return f"Authorised({self.method} {self.url.host})"  # path and query may hold the credential


def authorise(request: Request, proof: Proof, user_agent: str) -> httpx.Request:
    """The request ready to send: with the credential, and without what HTTPX would look up by itself: that costs more
    than sending it. Host and Content-Length are the sender's to say.
    """
    segment, query, carried = proof.carried()
    headers = [_raw(name, value) for name, value in request.headers]
    headers.append((b"user-agent", user_agent.encode("ascii")))
    headers += carried
    if not segment and not query:
        parsed = _known_url(request.url) if len(request.url) <= LONGEST_URL else httpx.URL(request.url)
    else:
        parsed = httpx.URL(_with_key(request, segment, query))
    return Authorised(request.method, parsed, headers, request.content)


def _with_key(request: Request, segment: str, query: str) -> str:
    """The URL with what the credential adds. In the path that stands right behind the base URL, before all that a
    caller has a part in.
    """
    url = f"{request.base}/{segment}{request.url.removeprefix(request.base)}" if segment else request.url
    if not query:
        return url
    return f"{url}{'&' if '?' in request.url else '?'}{query}"


def _parts(auth: Auth, fields: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Where each part of the credential goes: header, query or path, its name there (none in a path), its value."""
    match auth:
        case ApiKey(place=place, name=name, prefix=prefix, more=more):
            parts = [(part.place, part.name, part.prefix + fields[part.field]) for part in more]
            return [(place, name or "", prefix + fields["key"]), *parts]
        case Bearer():
            return [("header", "authorization", f"Bearer {fields['token']}")]
        case Basic():
            return [("header", "authorization", f"Basic {pair(fields)}")]
        case _:
            return [(auth.carry.place, auth.carry.name, auth.carry.prefix + fields[ACCESS_TOKEN])]


def _raw(name: str, value: str) -> tuple[bytes, bytes]:
    return name.encode("ascii"), value.encode("ascii")


_known_url = lru_cache(maxsize=1_024)(httpx.URL)  # a URL with a key in it is not kept
