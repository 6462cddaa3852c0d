"""The rights of roles, printed: for a person, as facts, and as users of a nats-server's configuration."""

from __future__ import annotations

from sidecar.cli.failure import USAGE, stop
from sidecar.nats_accounts import User
from sidecar.nats_config import users_text
from sidecar.permissions import ALL, MEANING, TABLE, WITHOUT_TENANT, Holder, Kind, Rights, Role, rights, rights_of_kind
from sidecar.trace.line import Paint, Tone
from sidecar.wire.subject import encode_token

_HINT = "see sidecar setup --help"
TENANT, CONNECTION, PROVIDER = "default", "alice", "github"  # where nothing is named


def holders(
    prefix: str,
    role: Role | None,
    tenant: str | None,
    connections: tuple[str, ...],
    providers: tuple[str, ...],
    operations: str,
    name: str | None,
) -> list[Holder]:
    """One holder of the role, or one of each role. Raises Stopped where a name is none."""
    if role is None and (connections or providers or name or operations != ALL):
        raise stop(USAGE, "connections, providers, operations and a name are those of one role: name it", _HINT)
    wanted = list(Role) if role is None else [role]
    try:
        return [_holder(prefix, each, tenant or TENANT, connections, providers, operations, name) for each in wanted]
    except ValueError as error:
        raise stop(USAGE, str(error), _HINT) from error


def _holder(
    prefix: str,
    role: Role,
    tenant: str,
    connections: tuple[str, ...],
    providers: tuple[str, ...],
    operations: str,
    name: str | None,
) -> Holder:
    """The holder, with an example where the role needs a connection or provider that is not named."""
    if role in WITHOUT_TENANT:
        if connections or providers:
            raise ValueError(f"{role} has no connections or providers of its own")
        return Holder(role=role, name=name or _login_name(role), prefix=prefix)
    if role is Role.USER_AGENT:
        connections = connections or (CONNECTION,)
    if role is Role.PROVIDER_AGENT:
        providers = providers or (PROVIDER,)
    return Holder(
        role=role,
        name=name or _login_name(role),
        tenant=tenant,
        connections=connections,
        providers=providers,
        operations=operations,
        prefix=prefix,
    )


def _login_name(role: Role) -> str:
    """As the shipped configurations and manifests name it."""
    match role:
        case Role.SCOPED_SIDECAR | Role.SHARED_SIDECAR:
            return "sidecar"
        case Role.ADMIN:
            return "setup"
        case _:
            return str(role)


def rights_text(made: list[Holder], paint: Paint) -> str:
    """Each role with its subjects, by kind."""
    blocks: list[str] = []
    for holder in made:
        lines = [f"{paint(holder.role, Tone.STRONG)}  {MEANING[holder.role]}", f"  inbox      {holder.inbox}"]
        for kind in TABLE:
            granted = rights_of_kind(holder, kind)
            lines += [f"  publish    {subject}" for subject in granted.publish]
            lines += [f"  subscribe  {subject}" for subject in granted.subscribe]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def rights_facts(made: list[Holder]) -> list[dict[str, object]]:
    return [
        {
            "role": holder.role,
            "tenant": holder.tenant,
            "connections": holder.connections,
            "providers": holder.providers,
            "inbox_prefix": holder.inbox,
            "publish": rights(holder).publish,
            "subscribe": rights(holder).subscribe,
            "kinds": [kind for kind in Kind if rights_of_kind(holder, kind) != Rights((), ())],
        }
        for holder in made
    ]


def nats_text(made: list[Holder]) -> str:
    """Users with these rights; each password is a variable of the nats-server's environment, or put in its place."""
    users = tuple(User(_login(holder), holder) for holder in made)
    return users_text(users).rstrip("\n")


def _login(holder: Holder) -> str:
    return holder.name if holder.tenant is None else f"{encode_token(holder.tenant)}-{holder.name}"
