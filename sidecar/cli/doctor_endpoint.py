"""What the doctor learns from token endpoints: whether they answer, and what time they think it is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

import anyio
import httpx

from sidecar.adapters.http1_sender import Http1Sender
from sidecar.adapters.system import SystemClock
from sidecar.auth.kind import kind_of
from sidecar.cli.account import Connection
from sidecar.cli.doctor_apps import alive, apps_of
from sidecar.cli.doctor_line import Line, fail, ok
from sidecar.core.egress import EgressAllow
from sidecar.core.number import http_date
from sidecar.kinds import ClientCredentials, JwtBearer, OAuth2
from sidecar.model import Failure
from sidecar.provider import Catalogue
from sidecar.settings import Settings
from sidecar.trace.line import seconds

SKEW_SECONDS = 30.0  # what our assertions allow the clock of a token endpoint to be behind ours
DATE_SECONDS = 1.0  # a Date header has whole seconds
ANSWER_SECONDS = 5.0
MOST_BYTES = 64 * 1024


async def endpoint_lines(urls: Mapping[str, Sequence[str]], allow: EgressAllow) -> list[Line]:
    """A line for each token endpoint. It is asked with a GET that says nothing, which it refuses: that is an answer."""
    lines: dict[str, Line] = {}
    clock, sender = SystemClock(), Http1Sender(allow=allow)

    async def ask(url: str, providers: Sequence[str]) -> None:
        began = clock.wall()
        request = httpx.Request("GET", url, headers={"accept": "application/json"})
        answer = await sender.send(request, deadline=clock.now() + ANSWER_SECONDS, max_body=MOST_BYTES)
        if isinstance(answer, Failure):
            lines[url] = endpoint_line(providers, url, answer.detail, None)
        else:
            lines[url] = endpoint_line(
                providers, url, None, clock_offset(answer.headers.get("date"), began, clock.wall())
            )

    try:
        async with anyio.create_task_group() as tasks:
            for url, providers in urls.items():
                tasks.start_soon(ask, url, providers)
    finally:
        await sender.aclose()
    return [lines[url] for url in urls]


def token_urls(
    settings: Settings, catalogue: Catalogue, tenant: str, connections: Sequence[Connection]
) -> dict[str, tuple[str, ...]]:
    """The token endpoints that calls here depend on, each with its providers; those below a connection's own server
    are left out.
    """
    apps = apps_of(settings)
    used = {(item.provider, item.kind) for item in connections if alive(item)}
    found: dict[str, list[str]] = defaultdict(list)
    for name, provider in sorted(catalogue.providers.items()):
        for auth in provider.manifest.auth:
            if not isinstance(auth, OAuth2 | ClientCredentials | JwtBearer) or auth.token_url.startswith("/"):
                continue
            wanted = isinstance(auth, OAuth2) and apps.app(tenant, name) is not None
            if (wanted or (name, kind_of(auth)) in used) and name not in found[auth.token_url]:
                found[auth.token_url].append(name)
    return {url: tuple(names) for url, names in found.items() if names}


def endpoint_line(providers: Sequence[str], url: str, unreached: str | None, offset: float | None) -> Line:
    """The verdict on a token endpoint: reached or why not, and how far our clock is ahead of its own (seconds)."""
    what, host = ", ".join(providers), urlsplit(url).hostname
    if unreached is not None:
        mend = (
            f"let this machine reach {host}: DNS, a firewall or SIDECAR_EGRESS_ALLOW; tokens are not renewed until then"
        )
        return fail(what, f"token endpoint {url} cannot be reached: {unreached}", mend)
    seen = f"token endpoint {host} answers"
    if offset is None:
        return ok(what, seen)
    if abs(offset) > SKEW_SECONDS:
        side = "ahead of" if offset > 0 else "behind"
        mend = "synchronise the clock (NTP): signed requests for tokens are refused until then"
        return fail(what, f"our clock is {seconds(abs(offset))} {side} that of {host}", mend)
    return ok(what, f"{seen}, clocks agree within {seconds(max(abs(offset), DATE_SECONDS))}")


def clock_offset(date: str | None, began: float, ended: float) -> float | None:
    """How far our clock (Unix seconds when it was asked, and answered) is ahead of a Date header; None without one."""
    theirs = http_date(date)
    if theirs is None:
        return None
    early, late = began - (theirs + DATE_SECONDS), ended - theirs
    return 0.0 if early <= 0 <= late else early if early > 0 else late
