"""`ports.OAuth` by authlib and its JOSE library. Their HTTP clients are not used: all requests are ours.

They are imported at first use, as most processes never need them: 150 ms.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from anyio import to_thread

from sidecar.ports import KeyRejected

if TYPE_CHECKING:
    from joserfc.jwk import ECKey, RSAKey

    from sidecar.auth.apps import App
    from sidecar.kinds import OAuth2
    from sidecar.secret import Secret

VERIFIER_BYTES = 48  # 64 characters; RFC 7636 section 4.1 wants 43 to 128
CURVES = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}  # RFC 7518 section 3.4
RSA_BITS = 2048  # RFC 7518 section 3.3
SHORT = f"the private key is an RSA key of less than {RSA_BITS} bits; no provider takes it"


class AuthlibOAuth:
    """Stateless; one for the whole process."""

    def new_verifier(self) -> str:
        return secrets.token_urlsafe(VERIFIER_BYTES)

    def authorize_url(
        self, auth: OAuth2, app: App, *, redirect_uri: str, state: str, scopes: Sequence[str], verifier: str | None
    ) -> str:
        from authlib.common.urls import add_params_to_uri  # noqa: PLC0415  # slow
        from authlib.oauth2.rfc6749.parameters import prepare_grant_uri  # noqa: PLC0415  # slow
        from authlib.oauth2.rfc7636 import create_s256_code_challenge  # noqa: PLC0415  # slow

        more = dict(auth.authorize_parameters)
        if scopes:
            more[auth.scope_parameter] = auth.scope_separator.join(scopes)
        if verifier is not None:
            more |= {"code_challenge": create_s256_code_challenge(verifier), "code_challenge_method": "S256"}
        # As keywords, a parameter called `uri` would be taken for the library's own.
        began = add_params_to_uri(auth.authorize_url, list(more.items())) if more else auth.authorize_url
        url: str = prepare_grant_uri(began, app.client_id, "code", redirect_uri=redirect_uri, state=state)
        return url

    async def signed(
        self, claims: Mapping[str, object], *, key: Secret, key_id: str | None = None, algorithm: str | None = None
    ) -> str:
        # A thread of its own: an RSA key is checked when it is read, which takes 100 ms.
        return await to_thread.run_sync(_signed, dict(claims), key.reveal(), key_id, algorithm)


def _signed(claims: dict[str, object], pem: str, key_id: str | None, algorithm: str | None) -> str:
    from joserfc import jwt  # noqa: PLC0415  # slow
    from joserfc.errors import JoseError  # noqa: PLC0415  # slow

    private = _private_key(pem)
    wanted = algorithm or CURVES.get(getattr(private, "curve_name", ""), "RS256")
    header = {"alg": wanted, "typ": "JWT"} | ({"kid": key_id} if key_id else {})
    try:
        return jwt.encode(header, claims, private, algorithms=[wanted])
    except (ValueError, TypeError, JoseError) as error:
        raise KeyRejected(f"the private key cannot sign {wanted}: {error}") from None


@lru_cache(maxsize=64)
def _private_key(pem: str) -> ECKey | RSAKey:
    """The key, read once for many connections: a service account acts for many users."""
    from joserfc.errors import JoseError, SecurityWarning  # noqa: PLC0415  # slow
    from joserfc.jwk import ECKey, RSAKey  # noqa: PLC0415  # slow

    for kind in (RSAKey, ECKey):
        try:
            found = kind.import_key(pem)
        except SecurityWarning:  # where warnings are errors
            raise KeyRejected(SHORT) from None
        except (ValueError, TypeError, JoseError):
            continue
        if not found.is_private:
            raise KeyRejected("the key is a public one; the private one signs")
        if isinstance(found, RSAKey) and found.raw_value.key_size < RSA_BITS:
            raise KeyRejected(SHORT)
        return found
    raise KeyRejected("the private key is not a PEM of an RSA or EC key without a password")
