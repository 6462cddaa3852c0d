"""Who connects to a nats-server of ours, in which account, and what the accounts give each other. Pure.

The same accounts are written in three forms: users of one account, accounts in a configuration file, and the claims of
JWTs. Every right comes from the table of `permissions.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from sidecar.micro import NAME as SERVICE
from sidecar.nats_server_config import Config
from sidecar.permissions import PREFIX, TABLE, WITHOUT_TENANT, Holder, Kind, Role, rights
from sidecar.wire.subject import encode_token

SERVING = "SIDECAR"  # the account of the shared sidecars and of their JetStream
TENANT_TOKEN = 3  # of `sidecar.<kind>.<tenant>`: the nats-server puts the importing account there
# How long an answer may take to cross accounts; the longest call of the settings is five minutes, the default is two.
ANSWER_SECONDS = 600
SERVICE_VERBS = ("PING", "INFO")
CUSTOMERS = frozenset(Role) - WITHOUT_TENANT - {Role.SCOPED_SIDECAR}


class User(msgspec.Struct, frozen=True):
    """Somebody who connects, and the name to log in with."""

    login: str
    holder: Holder

    @property
    def password(self) -> str:
        """The variable of the environment that holds the password, or its bcrypt hash."""
        return f"$NATS_{re.sub(r'[^A-Z0-9]', '_', self.login.upper())}_PASSWORD"


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """An account of a nats-server. `tenant` is served by the shared sidecars, in the account SIDECAR, unless `own`:
    then by sidecars of its own, with JetStream, all within its account.
    """

    name: str
    users: tuple[User, ...]
    tenant: str | None = None
    own: bool = False

    @property
    def jetstream(self) -> bool:
        return self.tenant is None or self.own

    @property
    def imports(self) -> bool:
        return not self.jetstream


def served_kinds() -> list[Kind]:
    """The kinds that agents and operators ask and sidecars answer."""
    return [kind for kind in TABLE if _ours(kind, asked=True)]


def told_kinds() -> list[Kind]:
    """The kinds that sidecars tell and agents, operators or readers hear."""
    return [kind for kind in TABLE if _ours(kind, asked=False)]


def tenant_users(tenant: str, *, prefix: str = PREFIX) -> tuple[User, ...]:
    """A user of each role that a tenant has, as examples of names."""

    def user(name: str, role: Role, **names: tuple[str, ...] | str) -> User:
        holder = Holder(role=role, name=name, tenant=tenant, prefix=prefix, **names)  # type: ignore[arg-type]  # checked there
        return User(f"{encode_token(tenant)}-{name}", holder)

    return (
        user("agent", Role.AGENT),
        user("reader", Role.READ_ONLY_AGENT),
        user("alice", Role.USER_AGENT, connections=("alice",)),
        user("issues", Role.PROVIDER_AGENT, providers=("github",), operations="issues.*"),
        user("operator", Role.OPERATOR),
        user("auditor", Role.TRACE_READER),
    )


def sidecar_users(tenant: str, *, prefix: str = PREFIX) -> tuple[User, ...]:
    """The sidecars of one tenant: one that serves all of it, one that serves one connection and provider."""
    token = encode_token(tenant)
    whole = Holder(role=Role.SCOPED_SIDECAR, name="sidecar", tenant=tenant, prefix=prefix)
    part = Holder(
        role=Role.SCOPED_SIDECAR,
        name="alice-sidecar",
        tenant=tenant,
        connections=("alice",),
        providers=("github",),
        prefix=prefix,
    )
    return User(f"{token}-sidecar", whole), User(f"{token}-alice-sidecar", part)


def admin_user(login: str = "setup", *, prefix: str = PREFIX) -> User:
    return User(login, Holder(role=Role.ADMIN, name="setup", prefix=prefix))


def shared_user(*, prefix: str = PREFIX) -> User:
    return User("sidecar", Holder(role=Role.SHARED_SIDECAR, name="sidecar", prefix=prefix))


def one_account(*tenants: str, prefix: str = PREFIX) -> tuple[User, ...]:
    """Every user, where one account holds all tenants."""
    each = (
        user for name in tenants for user in (*tenant_users(name, prefix=prefix), *sidecar_users(name, prefix=prefix))
    )
    return admin_user(prefix=prefix), shared_user(prefix=prefix), *each


def accounts(shared: tuple[str, ...], own: tuple[str, ...], *, prefix: str = PREFIX) -> tuple[Account, ...]:
    """An account for each tenant, and the one that serves those who have no sidecars of their own."""
    serving = Account(name=SERVING, users=(admin_user(prefix=prefix), shared_user(prefix=prefix)))
    customers = [
        Account(name=encode_token(name), tenant=name, users=tenant_users(name, prefix=prefix)) for name in shared
    ]
    apart = [
        Account(
            name=encode_token(name),
            tenant=name,
            own=True,
            users=(
                admin_user(f"{encode_token(name)}-setup", prefix=prefix),
                *tenant_users(name, prefix=prefix),
                *sidecar_users(name, prefix=prefix),
            ),
        )
        for name in own
    ]
    return serving, *customers, *apart


# --- in a configuration file ------------------------------------------------------------------------------------------


def user_config(user: User) -> Config:
    """A user of a configuration file; the password is the name of a variable."""
    return {"user": user.login, "password": user.password, "permissions": permissions_config(user.holder)}


def permissions_config(holder: Holder) -> Config:
    granted = rights(holder)
    return {"publish": {"allow": list(granted.publish)}, "subscribe": {"allow": list(granted.subscribe)}}


def account_config(account: Account, prefix: str = PREFIX) -> Config:
    config: Config = {"users": [user_config(user) for user in account.users]}
    if account.jetstream:
        config["jetstream"] = "enabled"
    if account.tenant is None:
        config["exports"] = [
            *(
                {
                    "service": f"{prefix}.{kind}.*.>",
                    "account_token_position": TENANT_TOKEN,
                    "threshold": f"{ANSWER_SECONDS}s",
                }
                for kind in served_kinds()
            ),
            *({"service": subject, "response": "stream"} for subject in _service_subjects()),
            *({"stream": f"{prefix}.{kind}.*.>", "account_token_position": TENANT_TOKEN} for kind in told_kinds()),
        ]
    if account.imports:
        subjects = [f"{prefix}.{kind}.{account.name}.>" for kind in served_kinds()]
        config["imports"] = [
            *({"service": {"account": SERVING, "subject": subject}} for subject in (*subjects, *_service_subjects())),
            *(
                {"stream": {"account": SERVING, "subject": f"{prefix}.{kind}.{account.name}.>"}}
                for kind in told_kinds()
            ),
        ]
    return config


# --- as claims of JWTs ------------------------------------------------------------------------------------------------
# https://github.com/nats-io/jwt/tree/main/v2


def account_claims(account: Account, keys: Mapping[str, str], prefix: str = PREFIX) -> dict[str, object]:
    """What the `nats` part of an account's JWT says. `keys` holds the public key of each account by its name.

    In operator mode the nats-server puts an account's public key where a file's form puts its name: shared sidecars
    know the tenant by that key, and the tenant's own agents by its name, which the import puts in its place.
    """
    unlimited = -1
    limits: dict[str, object] = dict.fromkeys(
        ("subs", "data", "payload", "imports", "exports", "conn", "leaf"), unlimited
    )
    limits |= {"wildcards": True}
    if account.jetstream:
        limits |= {"mem_storage": unlimited, "disk_storage": unlimited, "streams": unlimited, "consumer": unlimited}
    claims: dict[str, object] = {"type": "account", "version": 2, "limits": limits}
    if account.tenant is None:
        claims["exports"] = _exported_claims(prefix)
    if account.imports:
        claims["imports"] = _imported_claims(account, keys, prefix)
    return claims


def _exported_claims(prefix: str) -> list[dict[str, object]]:
    def export(kind: Kind, form: str, **also: object) -> dict[str, object]:
        subject = f"{prefix}.{kind}.*.>"
        return {"name": kind, "subject": subject, "type": form, "account_token_position": TENANT_TOKEN, **also}

    services: list[dict[str, object]] = [
        {"name": subject, "subject": subject, "type": "service", "response_type": "Stream"}
        for subject in _service_subjects()
    ]
    answered = {"response_type": "Singleton", "response_threshold": ANSWER_SECONDS * 1_000_000_000}
    return [
        *(export(kind, "service", **answered) for kind in served_kinds()),
        *services,
        *(export(kind, "stream") for kind in told_kinds()),
    ]


def _imported_claims(account: Account, keys: Mapping[str, str], prefix: str) -> list[dict[str, object]]:
    serving, own = keys[SERVING], keys[account.name]

    def imported(name: str, subject: str, local: str, form: str) -> dict[str, object]:
        return {"name": name, "subject": subject, "account": serving, "local_subject": local, "type": form}

    kinds = [(kind, "service") for kind in served_kinds()] + [(kind, "stream") for kind in told_kinds()]
    return [
        *(
            imported(kind, f"{prefix}.{kind}.{own}.>", f"{prefix}.{kind}.{account.name}.>", form)
            for kind, form in kinds
        ),
        *(imported(subject, subject, subject, "service") for subject in _service_subjects()),
    ]


def user_claims(user: User) -> dict[str, object]:
    """What the `nats` part of a user's JWT says."""
    granted = rights(user.holder)
    return {
        "type": "user",
        "version": 2,
        "subs": -1,
        "data": -1,
        "payload": -1,
        "pub": {"allow": list(granted.publish)},
        "sub": {"allow": list(granted.subscribe)},
    }


def _service_subjects() -> list[str]:
    return [f"$SRV.{verb}.{SERVICE}" for verb in SERVICE_VERBS]


def _ours(kind: Kind, *, asked: bool) -> bool:
    """Whether a kind of our own goes from a tenant to the sidecars (asked), or back."""
    sidecars = TABLE[kind].get(Role.SHARED_SIDECAR)
    grants = [grant for role, grant in TABLE[kind].items() if role in CUSTOMERS]
    if sidecars is None or not grants:
        return False
    ends = (sidecars.subscribe, [grant.publish for grant in grants])
    if not asked:
        ends = (sidecars.publish, [grant.subscribe for grant in grants])
    return any(template.startswith("{prefix}.") for template in ends[0]) and any(ends[1])
