"""A real nats-server with each of the configurations that we ship, and those who connect to it."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from sidecar.adapters.nats_binary import find_server
from sidecar.adapters.nats_bus import NatsBus, connect
from sidecar.adapters.nats_streams import provision, required
from sidecar.nats_accounts import SERVING, Account, User, one_account
from sidecar.nats_config import FOLDER, OWN, SHARED, example_accounts
from sidecar.permissions import Role
from tests.fixtures_nats import until
from tests.permissions.connection import Login, Wire, connected
from tests.permissions.tokens import Operator

VARIABLE = re.compile(r"\$(NATS_[A-Z0-9_]+_PASSWORD)")


class Form(StrEnum):
    """The configurations, by the name of their file."""

    SINGLE = "single-account"
    ACCOUNTS = "accounts"
    OPERATOR = "operator"


@dataclass(slots=True)
class Place:
    """A server that runs in one of the forms. `users` are all that the configuration names, with their account."""

    form: Form
    port: int
    folder: Path
    users: Mapping[str, tuple[User, str]]
    passwords: Mapping[str, str]
    operator: Operator | None = None
    tenant_names: dict[str, str] = field(default_factory=dict)

    def login(self, name: str) -> Login:
        if self.operator is not None:
            return self.operator.logins[name]
        return Login(name, self.passwords[self.users[name][0].password.removeprefix("$")])

    def wire(self, name: str) -> AbstractAsyncContextManager[Wire]:
        return connected(self.port, self.login(name))

    async def bus(self, name: str) -> NatsBus:
        """As the product connects: `SIDECAR_NATS_URL`, `SIDECAR_NATS_CREDS` and `SIDECAR_INBOX_PREFIX`."""
        url, credentials = self.address(name)
        return await connect(url, credentials=credentials, inbox_prefix=self.users[name][0].holder.inbox, timeout=20)

    def address(self, name: str) -> tuple[str, Path | None]:
        if self.operator is not None:
            return f"nats://127.0.0.1:{self.port}", self.operator.credentials(name, self.folder)
        login = self.login(name)
        return f"nats://{login.user}:{login.password}@127.0.0.1:{self.port}", None

    def as_served(self, tenant: str) -> str:
        """What the sidecars that serve a tenant know it by."""
        return self.tenant_names.get(tenant, tenant)

    def admins(self) -> list[str]:
        return [name for name, (user, _) in self.users.items() if user.holder.role is Role.ADMIN]


@asynccontextmanager
async def place(form: Form, folder: Path, *, config: Path | None = None) -> AsyncIterator[Place]:
    """The server, with streams and buckets made by the admins' own rights. `config` instead of the shipped file."""
    async with empty_place(form, folder, config=config) as there:
        for admin in there.admins():
            bus = await there.bus(admin)
            await provision(bus, required("sidecar"))
            await bus.close()
        yield there


@asynccontextmanager
async def empty_place(form: Form, folder: Path, *, config: Path | None = None) -> AsyncIterator[Place]:
    """The server, on which nothing is made yet."""
    file = config or FOLDER / f"{form}.conf"
    passwords = {name: f"p{number}" for number, name in enumerate(VARIABLE.findall(file.read_text()))}
    environment = {**passwords, "NATS_STORE_DIR": str(folder / "store")}
    operator = Operator() if form is Form.OPERATOR else None
    made = _accounts(form)
    if operator is not None:
        environment |= operator.environment(made, folder / "accounts")
    users = {user.login: (user, account.name) for account in made for user in account.users}
    async with _running(file, folder, environment) as port:
        there = Place(form, port, folder, users, passwords, operator)
        if operator is not None:
            there.tenant_names[SHARED] = operator.account_keys[SHARED].public
        yield there


def _accounts(form: Form) -> Sequence[Account]:
    if form is Form.SINGLE:
        return [Account(name=SERVING, users=one_account(SHARED, OWN))]
    return example_accounts()


@asynccontextmanager
async def _running(file: Path, folder: Path, environment: Mapping[str, str]) -> AsyncIterator[int]:
    """The server of a shipped file; the command line names what is this machine's: address and port."""
    program = await find_server(logging.getLogger("tests.permissions"))
    command = [str(program), "-c", str(file), "-a", "127.0.0.1", "-p", "-1", "--ports_file_dir", str(folder)]
    log = folder / "nats.log"
    with (
        log.open("wb") as output,
        subprocess.Popen(command, env={**os.environ, **environment}, stdout=output, stderr=output) as process,  # noqa: ASYNC220 - takes a moment
    ):
        try:
            await until(lambda: list(folder.glob("*.ports")) or process.poll() is not None)
            assert process.poll() is None, log.read_text()
            (ports,) = folder.glob("*.ports")
            await until(lambda: ports.read_text().endswith("}"))
            yield int(json.loads(ports.read_text())["nats"][0].rpartition(":")[2])
        finally:
            process.kill()
