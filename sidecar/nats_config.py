"""The NATS configurations of `deploy/nats/`. `python -m sidecar.nats_config` tells a drift, `--write` mends it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from sidecar.nats_accounts import (
    Account,
    User,
    account_claims,
    account_config,
    accounts,
    one_account,
    user_claims,
    user_config,
)
from sidecar.nats_server_config import (
    CLIENT_PORT,
    INCLUDE,
    ROUTE_PORT,
    Config,
    cluster_settings,
    config_text,
    server_settings,
)

SERVER = "server.conf"
FOLDER = Path(__file__).parent.parent / "deploy" / "nats"
ROUTES = ("$NATS_ROUTE_0", "$NATS_ROUTE_1", "$NATS_ROUTE_2")
SHARED, OWN = "acme", "globex"  # tenants of the examples
COMMAND = "python -m sidecar.nats_config --write"
MADE = f"# Made by `{COMMAND}` from the table of rights; the README beside it says how to use it.\n"


def files() -> dict[str, str]:
    """The text of every file, by its name."""
    return {
        SERVER: MADE + config_text({"listen": f"0.0.0.0:{CLIENT_PORT}", **server_settings()}),
        "cluster.conf": MADE + config_text(_cluster()),
        "single-account.conf": MADE + config_text({INCLUDE: SERVER, "authorization": {"users": _users()}}),
        "accounts.conf": MADE + config_text({INCLUDE: SERVER, "accounts": _accounts()}),
        "operator.conf": MADE + config_text({INCLUDE: SERVER, **_operator()}),
        "operator-claims.json": claims_text(example_accounts()),
    }


def example_accounts() -> tuple[Account, ...]:
    return accounts((SHARED,), (OWN,))


def users_text(users: tuple[User, ...]) -> str:
    """Users, as they stand in `authorization` or in an account."""
    return config_text({"users": [user_config(user) for user in users]})


def claims_text(made: tuple[Account, ...], keys: Mapping[str, str] | None = None) -> str:
    """The `nats` part of each account's and user's JWT; without keys, `<NAME>` stands for an account's public key."""
    known = keys or {account.name: f"<{account.name}>" for account in made}
    claims = {
        account.name: {
            "account": account_claims(account, known),
            "users": {user.login: user_claims(user) for user in account.users},
        }
        for account in made
    }
    return msgspec.json.format(msgspec.json.encode(claims), indent=2).decode() + "\n"


def _users() -> list[Config]:
    return [user_config(user) for user in one_account(SHARED, OWN)]


def _accounts() -> Config:
    return {account.name: account_config(account) for account in example_accounts()}


def _cluster() -> Config:
    login = ("route", "$NATS_ROUTE_PASSWORD")
    return {
        "server_name": "$NATS_NAME",
        "# The routes with their login: nats://route:PASSWORD@nats-0.nats:6222, and so on.": None,
        "cluster": cluster_settings(host="0.0.0.0", port=ROUTE_PORT, routes=ROUTES, login=login),  # noqa: S104 - a pod's
    }


def _operator() -> Config:
    return {
        "# A JWT, or the path of a file that holds it.": None,
        "operator": "$NATS_OPERATOR_JWT",
        "system_account": "$NATS_SYSTEM_ACCOUNT",
        "# Each account's JWT in a file of this folder, named by its public key: `nsc push` puts them there.": None,
        "resolver": {"type": "full", "dir": "$NATS_ACCOUNTS_DIR", "allow_delete": False, "interval": "2m"},
    }


def drift(folder: Path) -> list[str]:
    """The files that are not what the code says."""
    return [name for name, text in files().items() if not _holds(folder / name, text)]


def _holds(file: Path, text: str) -> bool:
    return file.is_file() and file.read_text(encoding="utf-8") == text


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 0 when the folder holds what the code says."""
    parser = argparse.ArgumentParser(prog="python -m sidecar.nats_config", description=__doc__)
    parser.add_argument(
        "--write", action="store_true", help="write the files; without it, only say which of them drift"
    )
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when a file drifts")
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER, help="default: deploy/nats of this checkout")
    asked = parser.parse_args(arguments)
    if asked.write and not asked.check:
        asked.folder.mkdir(parents=True, exist_ok=True)
        for name, text in files().items():
            (asked.folder / name).write_text(text, encoding="utf-8")
        return 0
    drifting = drift(asked.folder)
    for name in drifting:
        sys.stderr.write(f"{asked.folder / name} is not what the table of rights says\n")
    if drifting:
        sys.stderr.write(f"mend it with: {COMMAND}\n")
    return 1 if drifting else 0


if __name__ == "__main__":
    sys.exit(main())
