"""Private keys made for a test, and what a server needs to check what they sign."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey


@cache
def rsa_key(bits: int = 2048) -> str:
    """A private key in PEM."""
    return _pem(rsa.generate_private_key(65537, bits))


@cache
def ec_key() -> str:
    return _pem(ec.generate_private_key(ec.SECP256R1()))


def encrypted_key() -> str:
    """One with a password."""
    return _pem(ec.generate_private_key(ec.SECP256R1()), serialization.BestAvailableEncryption(b"password"))


def public_key(pem: str) -> str:
    return _key(pem).as_pem(private=False).decode()


def public_set(pem: str, key_id: str) -> str:
    """The public key as servers take it (RFC 7517)."""
    return json.dumps({"keys": [_key(pem).as_dict(private=False) | {"kid": key_id, "use": "sig"}]})


def opened(token: str, pem: str, algorithm: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims of a JWT that this key signed; raises where it did not."""
    found = jwt.decode(token, _key(pem), algorithms=[algorithm])
    return found.header, found.claims


def _key(pem: str) -> RSAKey | ECKey:
    kind = RSAKey if "RSA" in pem else ECKey
    return kind.import_key(pem)


def _pem(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey,
    encryption: serialization.KeySerializationEncryption | None = None,
) -> str:
    form = serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(serialization.Encoding.PEM, form, encryption or serialization.NoEncryption()).decode()
