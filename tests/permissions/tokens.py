"""JWTs of an operator, its accounts and their users, signed here, from the claims that we ship.

https://docs.nats.io/running-a-nats-service/configuration/securing_nats/auth_intro/jwt
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import nkeys  # type: ignore[import-untyped]  # it has no stubs

from sidecar.nats_accounts import Account, account_claims, user_claims
from tests.permissions.connection import Login

SYSTEM = "SYS"


@dataclass(frozen=True, slots=True)
class Key:
    """A key pair of NATS: `seed` is its secret, `public` its name."""

    seed: bytes
    public: str

    def sign(self, content: bytes) -> bytes:
        signature: bytes = nkeys.from_seed(bytearray(self.seed)).sign(content)
        return signature


def fresh_key(kind: int) -> Key:
    seed = bytes(nkeys.encode_seed(os.urandom(32), kind))
    return Key(seed, nkeys.from_seed(bytearray(seed)).public_key.decode())


def token(issuer: Key, subject: str, name: str, claims: dict[str, object]) -> str:
    """A JWT in which the issuer says of the subject what the claims hold."""
    body = {"jti": os.urandom(16).hex(), "iat": 1, "iss": issuer.public, "sub": subject, "name": name, "nats": claims}
    text = ".".join(map(_part, ({"typ": "JWT", "alg": "ed25519-nkey"}, body)))
    return f"{text}.{_base64(issuer.sign(text.encode()))}"


@dataclass(slots=True)
class Operator:
    """An operator with accounts, as `nsc` would make them."""

    key: Key = field(default_factory=lambda: fresh_key(nkeys.PREFIX_BYTE_OPERATOR))
    account_keys: dict[str, Key] = field(default_factory=dict)
    logins: dict[str, Login] = field(default_factory=dict)
    seeds: dict[str, bytes] = field(default_factory=dict)

    def environment(self, accounts: Sequence[Account], folder: Path) -> dict[str, str]:
        """What `operator.conf` takes from the environment; the accounts' JWTs are put into the folder."""
        folder.mkdir(exist_ok=True)
        for name in (SYSTEM, *(account.name for account in accounts)):
            self.account_keys[name] = fresh_key(nkeys.PREFIX_BYTE_ACCOUNT)
        keys = {name: key.public for name, key in self.account_keys.items()}
        limits = dict.fromkeys(("subs", "data", "payload", "imports", "exports", "conn", "leaf"), -1)
        self._write(folder, SYSTEM, {"type": "account", "version": 2, "limits": limits})
        for account in accounts:
            self._write(folder, account.name, account_claims(account, keys))
            for user in account.users:
                self.add_user(account.name, user.login, user_claims(user))
        operator = {"type": "operator", "version": 2, "system_account": keys[SYSTEM]}
        return {
            "NATS_OPERATOR_JWT": token(self.key, self.key.public, "test", operator),
            "NATS_SYSTEM_ACCOUNT": keys[SYSTEM],
            "NATS_ACCOUNTS_DIR": str(folder),
        }

    def add_user(self, account: str, login: str, claims: dict[str, object]) -> None:
        key = fresh_key(nkeys.PREFIX_BYTE_USER)
        jwt = token(self.account_keys[account], key.public, login, claims)
        self.logins[login] = Login(jwt=jwt, sign=key.sign)
        self.seeds[login] = key.seed

    def credentials(self, login: str, folder: Path) -> Path:
        """The `.creds` file of a user."""
        file = folder / f"{login}.creds"
        jwt, seed = self.logins[login].jwt, self.seeds[login].decode()
        file.write_text(
            f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        )
        return file

    def _write(self, folder: Path, account: str, claims: dict[str, object]) -> None:
        public = self.account_keys[account].public
        (folder / f"{public}.jwt").write_text(token(self.key, public, account, claims))


def _part(value: object) -> str:
    return _base64(json.dumps(value, separators=(",", ":")).encode())


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
