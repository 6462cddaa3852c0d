"""`sidecar quota`: what is left of the providers' quotas, who keeps them, who waits for them."""

from __future__ import annotations

import anyio
import click

from sidecar.cli.failure import EXIT_CODES
from sidecar.cli.options import json_option, named, provider_name, tenant_option
from sidecar.cli.session import decoded, session, settings_here
from sidecar.cli.terminal import paint, put, put_json
from sidecar.settings import Settings
from sidecar.trace.line import Paint, Tone, columns, counted, plain, unpainted
from sidecar.wire.quota_view import BudgetView, QuotaView
from sidecar.wire.subject import EVERY, AdminAddress, admin_subject

SHOW_SECONDS = 10.0
NAMES = {1.0: "s", 60.0: "min", 3600.0: "h", 86400.0: "d"}


@click.group("quota", epilog=EXIT_CODES)
def command() -> None:
    """What is left of the providers' quotas, and who waits."""


@command.command("show")
@click.argument("provider", required=False, callback=provider_name)
@click.option("-c", "--connection", callback=named, help="Only what this connection uses.")
@tenant_option
@json_option
def show(*, provider: str | None, connection: str | None, tenant: str, as_json: bool) -> None:
    """What is left now of each quota in use, the sidecar that keeps it, and the calls that wait.

    A quota that nobody used for a while is not listed: all of it is left.
    """
    address = AdminAddress(tenant, connection or EVERY, provider or EVERY, "quota")
    body = anyio.run(_asked, settings_here(), address)
    if as_json:
        put_json(body)
    else:
        put(shown(decoded(body, QuotaView), paint))


async def _asked(settings: Settings, address: AdminAddress) -> bytes:
    provider = None if address.provider == EVERY else address.provider
    async with session(settings) as nats:
        subject = admin_subject(nats.prefix, address)
        answer = await nats.ask(subject, b"", timeout=SHOW_SECONDS, provider=provider, tenant=address.tenant)
        return answer.body


def shown(view: QuotaView, paint: Paint = unpainted) -> str:
    """A line for each budget, then one for each place where calls wait."""
    lines = columns([_row(budget, paint) for budget in view.budgets])
    if not lines:
        lines = ["no quota is in use: everything is left"]
    if view.more:
        lines.append(f"{counted(view.more, 'budget')} more; name a provider or a connection")
    if view.waits:
        rows = [
            [
                plain(wait.provider, 60),
                plain(wait.connection, 60),
                counted(wait.calls, "call"),
                f"for {plain(wait.bucket, 60)}",
            ]
            for wait in view.waits
        ]
        lines += ["", "waiting", *columns(rows)]
    return "\n".join([*lines, "", f"told by {counted(len(view.sidecars), 'sidecar')}"])


def _row(budget: BudgetView, paint: Paint) -> list[str]:
    left = [f"{part.left} of {part.units}/{_span(part.seconds)}" for part in budget.windows]
    if budget.tokens is not None:
        left.append(f"{budget.tokens.left} of {budget.tokens.burst}, +{budget.tokens.rate:g}/s")
    if budget.slots is not None:
        left.append(f"{budget.slots.left} of {budget.slots.most} at once")
    notes = []
    if budget.closed_ms is not None:
        notes.append(paint(f"closed for {budget.closed_ms / 1000:.1f} s", Tone.WARN))
    if budget.waiting:
        notes.append(paint(f"{budget.waiting} waited for", Tone.WARN))
    if budget.lent:
        notes.append(f"{budget.lent} lent")
    return [plain(budget.key, 120), ", ".join(left), f"kept by {plain(budget.owner, 40)}", ", ".join(notes)]


def _span(seconds: float) -> str:
    return NAMES.get(seconds) or f"{seconds:g}s"
