"""One question to a token endpoint: of which credential, at which URL, and what of it nobody may be shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

from sidecar.auth.kind import auth_of, is_issued, is_secret, secrets_of
from sidecar.auth.scopes import wanted_scopes
from sidecar.core.base_url import PLACEHOLDER, connection_url
from sidecar.credential import Credential, Tokens
from sidecar.kinds import ClientCredentials, Issued, JwtBearer, OAuth2
from sidecar.model import Failure
from sidecar.provider import Provider
from sidecar.secret import Secret


class Unfit(Exception):
    """What a question needs is not there: nothing was sent. The message is for a person."""


@dataclass(frozen=True, slots=True)
class Question:
    """For whom, and until when. `more`: what is secret of this question alone."""

    tenant: str
    provider: Provider
    auth: Issued
    credential: Credential
    deadline: float
    more: tuple[str, ...] = field(default=(), repr=False)

    @property
    def fields(self) -> dict[str, str]:
        return self.credential.revealed()

    @property
    def before(self) -> Tokens | None:
        """The tokens there are; of an import, the refresh token that it brings."""
        brought = self.credential.fields.get("refresh_token")
        if self.credential.tokens is None and brought is not None:
            return Tokens(access=Secret(""), refresh=brought)
        return self.credential.tokens

    @property
    def secrets(self) -> list[str]:
        return [*secrets_of(self.auth, self.fields), *self.more]

    @property
    def title(self) -> str:
        return self.provider.manifest.title

    @property
    def private_key(self) -> Secret:
        """Raises Unfit."""
        key = self.credential.fields.get("private_key")
        if key is None:
            raise Unfit("the credential has no private_key")
        return key

    def named(self, parameters: Mapping[str, str]) -> dict[str, str]:
        """Each parameter with the value of its credential field. Raises Unfit."""
        fields = self.fields
        missing = [field for field in parameters.values() if not fields.get(field)]
        if missing:
            raise Unfit(f"the credential has no {missing[0]}")
        return {name: fields[field] for name, field in parameters.items()}

    @property
    def scopes(self) -> tuple[str, ...]:
        """Those that the credential names, else those of every operation."""
        named = self.credential.fields.get("scope")
        if named:
            return tuple(named.reveal().split())
        if isinstance(self.auth, OAuth2 | ClientCredentials | JwtBearer):
            return wanted_scopes(self.auth, self.provider.operations)
        return ()

    def url(self, url: str, base_urls: Mapping[str, str]) -> str:
        """A URL of the kind, absolute, with its fields. In the sandbox every URL is the sandbox's. Raises Unfit."""
        url = self._filled(url)
        replaced = base_urls.get(self.provider.name)
        if replaced is not None:
            return replaced + (url if url.startswith("/") else urlsplit(url).path)
        if not url.startswith("/"):
            return url
        base = connection_url(self.provider.manifest.base_url, self.credential)
        if isinstance(base, Failure):
            raise Unfit(base.detail)
        return base + url

    def _filled(self, url: str) -> str:
        """The URL with the credential's fields in their places, each one segment of the path. Raises Unfit."""

        def segment(match: re.Match[str]) -> str:
            name = match[1]
            text = "" if is_secret(self.auth, name) else self.fields.get(name, "")
            if text in {"", ".", ".."}:
                raise Unfit(f"the credential's {name} cannot be part of a URL")
            return quote(text, safe="")

        return PLACEHOLDER.sub(segment, url)


def issued_kind(provider: Provider, kind: str) -> Issued | None:
    """The manifest's description of a kind whose tokens are issued."""
    auth = auth_of(provider.manifest.auth, kind)
    return auth if auth is not None and is_issued(auth) else None
