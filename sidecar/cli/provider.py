"""`sidecar provider`: what is served, what an operation takes, and whether a provider's folder is right."""

from __future__ import annotations

import anyio
import click

from sidecar.cli.account import provider_served
from sidecar.cli.failure import EXIT_CODES
from sidecar.cli.options import json_option, operation_name, tenant_option
from sidecar.cli.provider_text import (
    Budget,
    Described,
    Listed,
    Served,
    operation_text,
    operations_text,
    providers_text,
    quotas_text,
)
from sidecar.cli.session import decoded, session, settings_here
from sidecar.cli.terminal import paint, put, put_json
from sidecar.settings import Settings
from sidecar.wire.subject import NAME


@click.group("provider", epilog=EXIT_CODES)
def command() -> None:
    """Providers and their operations."""


@command.command("list")
@tenant_option
@json_option
def list_(*, tenant: str, as_json: bool) -> None:
    """The providers that the sidecars serve."""
    body = anyio.run(_catalog, settings_here(), tenant, "providers")
    if as_json:
        put_json(body)
    else:
        put(providers_text(decoded(body, list[Served]), paint))


@command.command("show")
@click.argument("name", metavar="PROVIDER[.OPERATION]")
@tenant_option
@json_option
def show(*, name: str, tenant: str, as_json: bool) -> None:
    """The operations of a provider and the quotas kept for it, or the input of one operation."""
    if NAME.fullmatch(name):
        body = anyio.run(_catalog, settings_here(), tenant, "operations", name)
        text = "" if as_json else operations_text(name, decoded(body, list[Listed]), paint)
        quotas = () if as_json else anyio.run(_quotas, settings_here(), tenant, name)
        text = f"{text}\n\n{quotas_text(quotas, paint)}" if quotas else text
    else:
        provider, operation = operation_name(name)
        body = anyio.run(_catalog, settings_here(), tenant, "describe", provider, operation)
        text = "" if as_json else operation_text(decoded(body, Described), paint)
    if as_json:
        put_json(body)
    else:
        put(text)


CHECK_HELP = """Prove providers by their cases, offline: all of them, or those named by name or by folder.

Nothing needs to run, and no account is needed. Exit code 1 when something is to be mended.
"""


@command.command("check", help=CHECK_HELP)
@click.argument("which", metavar="[NAME | FOLDER]...", nargs=-1)
@json_option
def check(*, which: tuple[str, ...], as_json: bool) -> int:
    from sidecar.cli.provider_check import check_providers  # noqa: PLC0415  # the executor with all it needs

    return check_providers(settings_here(), which, as_json=as_json)


async def _quotas(settings: Settings, tenant: str, name: str) -> tuple[Budget, ...]:
    async with session(settings) as nats:
        return (await provider_served(nats, tenant, name)).quotas


async def _catalog(
    settings: Settings, tenant: str, verb: str, provider: str | None = None, operation: str | None = None
) -> bytes:
    async with session(settings) as nats:
        return await nats.catalog(tenant, verb, provider, operation)
