"""An operator, an account and its users, as JWTs made here. https://docs.nats.io/running-a-nats-service/configuration/securing_nats/jwt"""

from __future__ import annotations

import base64
import json
import os
import time
from pathlib import Path
from typing import Any

import nkeys  # type: ignore[import-untyped]  # it has no types

NO_LIMITS = {"subs": -1, "data": -1, "payload": -1}
ACCOUNT_LIMITS = {**NO_LIMITS, "imports": -1, "exports": -1, "wildcards": True, "conn": -1, "leaf": -1}


def _fresh(prefix: int) -> tuple[nkeys.KeyPair, str, bytes]:
    seed = bytes(nkeys.encode_seed(os.urandom(32), prefix))
    pair = nkeys.from_seed(bytearray(seed))
    return pair, bytes(pair.public_key).decode(), seed


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _jwt(issuer: nkeys.KeyPair, issuer_name: str, subject: str, facts: dict[str, Any], expires: float | None) -> str:
    claims = {
        "jti": os.urandom(8).hex(),
        "iat": int(time.time()),
        "iss": issuer_name,
        "sub": subject,
        "name": facts["type"],
        "nats": {"version": 2, **facts},
    }
    if expires is not None:
        claims["exp"] = int(expires)
    head = {"typ": "JWT", "alg": "ed25519-nkey"}
    text = f"{_base64(json.dumps(head).encode())}.{_base64(json.dumps(claims).encode())}"
    return f"{text}.{_base64(issuer.sign(text.encode()))}"


class Operator:
    """`config` is what a server of this operator needs; `write_creds` makes a user of its one account."""

    def __init__(self) -> None:
        pair, name, _ = _fresh(nkeys.PREFIX_BYTE_OPERATOR)
        self._account, self._account_name, _ = _fresh(nkeys.PREFIX_BYTE_ACCOUNT)
        account = _jwt(pair, name, self._account_name, {"type": "account", "limits": ACCOUNT_LIMITS}, None)
        self.config = {
            "operator": _jwt(pair, name, name, {"type": "operator"}, None),
            "resolver": "MEMORY",
            "resolver_preload": {self._account_name: account},
        }

    def write_creds(self, file: Path, *, lives_seconds: float | None = None) -> None:
        """A fresh user's credentials, valid for so long."""
        _, name, seed = _fresh(nkeys.PREFIX_BYTE_USER)
        expires = None if lives_seconds is None else time.time() + lives_seconds
        user = _jwt(self._account, self._account_name, name, {"type": "user", **NO_LIMITS}, expires)
        file.write_text(
            f"-----BEGIN NATS USER JWT-----\n{user}\n------END NATS USER JWT------\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{seed.decode()}\n------END USER NKEY SEED------\n"
        )
