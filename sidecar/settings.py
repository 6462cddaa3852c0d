"""Settings: environment `SIDECAR_*` over `sidecar.toml`. `python -m sidecar.settings` prints the table of them."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from sidecar.scope import Scope
from sidecar.wire.subject import NAME as PROVIDER
from sidecar.wire.subject import encode_token, is_name

ENVIRONMENT = "SIDECAR_"
FILE = "sidecar.toml"
LISTS = {
    "connectors": os.pathsep,
    "egress_allow": ",",
    "reply_prefixes": ",",
    "return_urls": ",",
    "connections": ",",
    "providers": ",",
    "tenant_weights": ",",
}
MOST_WEIGHT = 100
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
INBOX = r"^[A-Za-z0-9_%-]{1,128}(\.[A-Za-z0-9_%-]{1,128})*$"
REPLY_PREFIX = re.compile(r"(([^\s.*>{}]+|\{tenant\})\.)+")
ADDRESS = re.compile(r".*:[0-9]{1,5}")
MOST_PORT = 65_535
CHOICE = re.compile(r"\^\(([a-z|]+)\)\$")
# What the patterns of texts say, in words; a choice says it itself.
IN_WORDS = {
    "prefix": "1 to 32 letters, digits, `-` and `_`",
    "inbox_prefix": "words of letters, digits, `-`, `_` and `%`, joined by single dots",
}
NAME_RULE = "a name is not empty, is not `-`, and has at most 256 characters as a token of a subject"


class SettingsError(Exception):
    """A setting is wrong; the message names it, its value's rule, and where it was set."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that can be set. Secrets come from files; the one exception is the login in `nats_url`."""

    nats_url: Annotated[str | None, Meta(description="NATS server, such as `nats://user:password@nats:4222`")] = None
    nats_creds: Annotated[str | None, Meta(description="file with NATS credentials (`.creds`)")] = None
    prefix: Annotated[str, Meta(description="first token of every subject", pattern=r"^[A-Za-z0-9_-]{1,32}$")] = (
        "sidecar"
    )
    inbox_prefix: Annotated[
        str, Meta(description="where this process has its own replies sent, without a dot at the end", pattern=INBOX)
    ] = "_INBOX"
    tenant: Annotated[str | None, Meta(description="the one tenant that is served; none: every tenant")] = None
    connections: Annotated[
        tuple[str, ...], Meta(description="the connections of that tenant that are served; none: every one")
    ] = ()
    providers: Annotated[
        tuple[str, ...], Meta(description="the providers that are served to that tenant; none: every one")
    ] = ()
    data_dir: Annotated[str, Meta(description="where `sidecar dev` keeps its NATS server, keys and records")] = (
        "~/.local/share/connector-sidecar"
    )
    kek_file: Annotated[
        str | None, Meta(description="file with the keys of `SIDECAR_TENANT`, else of tenant `default`")
    ] = None
    kek_dir: Annotated[
        str | None, Meta(description="folder with a key file for each tenant, named as its token with `%` as `.`")
    ] = None
    apps_dir: Annotated[
        str | None,
        Meta(
            description="folder of OAuth apps, `PROVIDER.json` or a tenant's own `TENANT.PROVIDER.json`; on a laptop"
            " `apps` in the data directory"
        ),
    ] = None
    state_dir: Annotated[
        str | None,
        Meta(description="folder of this process alone for new tokens that cannot be stored yet, sealed"),
    ] = None
    connectors: Annotated[tuple[str, ...], Meta(description="more folders of providers, separated as in PATH")] = ()
    egress_allow: Annotated[
        tuple[str, ...],
        Meta(description="private hosts and networks that may be called, such as `redmine.internal:3000,10.1.0.0/16`"),
    ] = ()
    operations_address: Annotated[
        str | None, Meta(description="`host:port` of /healthz, /readyz and /metrics; port 0 takes a free one")
    ] = None
    connect_address: Annotated[
        str | None, Meta(description="`host:port` of the pages on which accounts are connected; none: no such pages")
    ] = None
    public_url: Annotated[
        str | None,
        Meta(
            description="where browsers reach these pages, such as `https://connect.example.com`; links begin with it"
        ),
    ] = None
    return_urls: Annotated[
        tuple[str, ...], Meta(description="where a page may send a browser back to: URLs, and whatever is below them")
    ] = ()
    max_in_flight: Annotated[int, Meta(description="calls at once; more wait for a moment", ge=1, le=100_000)] = 1024
    max_per_tenant: Annotated[
        int, Meta(description="of them one tenant's; 0: half, or all with `SIDECAR_TENANT`", ge=0, le=100_000)
    ] = 0
    max_per_provider: Annotated[
        int, Meta(description="of them to one provider; 0: three quarters", ge=0, le=100_000)
    ] = 0
    max_waiting: Annotated[
        int, Meta(description="calls of one tenant that wait for a turn; more are refused at once", ge=0, le=100_000)
    ] = 256
    tenant_weights: Annotated[
        tuple[str, ...],
        Meta(description="tenants with more turns and places than others when calls wait, such as `acme=3`"),
    ] = ()
    max_timeout_ms: Annotated[int, Meta(description="longest time that a call may ask for", ge=1_000, le=3_600_000)] = (
        300_000
    )
    max_response_bytes: Annotated[
        int, Meta(description="largest answer of a provider that is read, decoded", ge=1_024, le=1 << 30)
    ] = 4 * 1024 * 1024
    connections_cached: Annotated[int, Meta(description="connections kept in memory", ge=1, le=1_000_000)] = 10_000
    reply_prefixes: Annotated[
        tuple[str, ...],
        Meta(
            description="what a reply subject must start with, up to a dot; `{tenant}` is the token of the caller's"
            " tenant"
        ),
    ] = ("_INBOX.", "_R_.")
    grace_seconds: Annotated[float, Meta(description="time for calls in flight after SIGTERM", ge=0, le=600)] = 20.0
    heal_seconds: Annotated[
        float, Meta(description="how long NATS may be away before the process ends, non-zero", ge=1, le=86_400)
    ] = 300.0
    trace_max_age_hours: Annotated[float, Meta(description="how long the trace is kept", gt=0, le=8_760)] = 168.0
    trace_max_bytes: Annotated[int, Meta(description="size of the trace; the oldest goes first", ge=1 << 20)] = 1 << 30
    credentials_max_bytes: Annotated[
        int, Meta(description="size of the bucket of credentials; what does not fit is refused", ge=1 << 20)
    ] = 1 << 28
    idempotency_max_bytes: Annotated[
        int, Meta(description="room for calls with idempotency keys, kept for 24 hours with their answers", ge=1 << 20)
    ] = 1 << 29
    calls_max_bytes: Annotated[
        int, Meta(description="size of the bucket of durable calls; what does not fit is refused", ge=1 << 20)
    ] = 1 << 30
    queue_depth: Annotated[
        int,
        Meta(
            description="durable calls of one tenant that may wait, and as many put off; more are refused",
            ge=1,
            le=1_000_000,
        ),
    ] = 10_000
    queue_in_flight: Annotated[
        int, Meta(description="durable calls at once; of one tenant at most an eighth of it", ge=1, le=10_000)
    ] = 64
    replicas: Annotated[int, Meta(description="copies of each stream and bucket (3 on a cluster)", ge=1, le=5)] = 1
    log_format: Annotated[
        str, Meta(description="`json`, `text`, or `auto`: text on a terminal", pattern="^(json|text|auto)$")
    ] = "auto"
    log_level: Annotated[
        str, Meta(description="`debug`, `info`, `warning` or `error`", pattern="^(debug|info|warning|error)$")
    ] = "info"

    @property
    def scope(self) -> Scope:
        return Scope(self.tenant, self.connections, self.providers)

    @property
    def weights(self) -> dict[str, int]:
        """By the token of the tenant. Raises SettingsError."""
        found: dict[str, int] = {}
        for text in self.tenant_weights:
            name, _, weight = text.rpartition("=")
            if not is_name(name) or not weight.isdecimal() or not 1 <= int(weight) <= MOST_WEIGHT:
                raise SettingsError(f"SIDECAR_TENANT_WEIGHTS: {text!r} is not such as acme=3, from 1 to {MOST_WEIGHT}")
            found[encode_token(name)] = int(weight)
        return found

    def __repr__(self) -> str:
        """What is not as it is by itself, but for the URL: it may hold a password."""
        values = ((field.name, field.default, getattr(self, field.name)) for field in msgspec.structs.fields(self))
        changed = (f"{name}={value!r}" for name, default, value in values if value != default and name != "nats_url")
        return f"Settings({', '.join(changed)})"


def load_settings(environment: Mapping[str, str], folder: Path) -> Settings:
    """The settings of this environment and of `sidecar.toml` in the folder. Raises SettingsError."""
    values: dict[str, Any] = {}
    file = folder / FILE
    if file.is_file():
        try:
            values = tomllib.loads(file.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
            raise SettingsError(f"{file}: {error}") from error
        _check(values, str(file))
    known = set(Settings.__struct_fields__)
    for name, text in environment.items():
        field = name.removeprefix(ENVIRONMENT).lower()
        if name.startswith(ENVIRONMENT) and field in known and text != "":
            values[field] = _from_text(field, text)
            _check({field: values[field]}, f"environment variable {name}")
    settings = msgspec.convert(values, Settings, strict=False)
    _check_together(settings)
    return settings


def unknown_names(environment: Mapping[str, str]) -> list[str]:
    """Variables that look like settings and are none: a misspelt one would be ignored in silence."""
    known = {f"{ENVIRONMENT}{field.upper()}" for field in Settings.__struct_fields__}
    return sorted(name for name in environment if name.startswith(ENVIRONMENT) and name not in known)


def table() -> str:
    """The settings as a Markdown table."""
    rows = ["| variable | default | what it sets |", "|---|---|---|"]
    hints = get_type_hints(Settings, include_extras=True)
    for field in msgspec.structs.fields(Settings):
        meta = next(item for item in hints[field.name].__metadata__ if isinstance(item, Meta))
        default = field.default
        text = (
            LISTS.get(field.name, ",").join(default)
            if isinstance(default, tuple)
            else ""
            if default is None
            else str(default)
        )
        shown = f"`{text}`" if text else ""
        rows.append(f"| `{ENVIRONMENT}{field.name.upper()}` | {shown} | {meta.description} |")
    return "\n".join(rows) + "\n"


def _from_text(field: str, text: str) -> Any:
    return [part.strip() for part in text.split(LISTS[field]) if part.strip()] if field in LISTS else text


def _check(values: Mapping[str, Any], where: str) -> None:
    """Each value against the rule of its setting. A wrong value is not repeated: it may be a misplaced secret."""
    for name, value in values.items():
        if name not in Settings.__struct_fields__:
            close = get_close_matches(name.lower(), Settings.__struct_fields__, n=1)
            mend = f"did you mean {close[0]}?" if close else "see the table of settings in the README"
            raise SettingsError(f"{where}: {name[:80]} is no setting; {mend}")
        try:
            msgspec.convert({name: value}, Settings, strict=False)
        except msgspec.ValidationError:
            what = where if where.endswith(name.upper()) else f"{where}: {name}"
            raise SettingsError(f"{what} must be {_rule(name)}; see the table of settings in the README") from None


def _rule(name: str) -> str:
    """What the value of a setting may be, in words."""
    kind = get_type_hints(Settings, include_extras=True)[name]
    meta = next(item for item in kind.__metadata__ if isinstance(item, Meta))
    choice = CHOICE.fullmatch(meta.pattern or "")
    if choice:
        return f"one of {', '.join(choice[1].split('|'))}"
    form = get_args(kind)[0]
    if form in (int, float):
        above = f"above {meta.gt}" if meta.gt is not None else f"from {meta.ge}" if meta.ge is not None else ""
        below = f" to {meta.le}" if meta.le is not None else ""
        return f"a {'whole ' if form is int else ''}number {above}{below}".rstrip()
    return "a list of texts" if get_origin(form) is tuple else IN_WORDS.get(name, "a text")


def _check_together(settings: Settings) -> None:
    """The rules between settings, wherever each was set, and those that a pattern cannot say."""
    if settings.tenant is not None and not is_name(settings.tenant):
        raise SettingsError(f"SIDECAR_TENANT: {NAME_RULE}")
    for variable, names in (("CONNECTIONS", settings.connections), ("PROVIDERS", settings.providers)):
        if names and settings.tenant is None:
            raise SettingsError(
                f"{ENVIRONMENT}{variable} says what of one tenant is served: set SIDECAR_TENANT too, or leave it out"
            )
    _ = settings.weights
    for name in settings.connections:
        if not is_name(name):
            raise SettingsError(f"SIDECAR_CONNECTIONS: {NAME_RULE}")
    for name in settings.providers:
        if not PROVIDER.fullmatch(name):
            raise SettingsError("SIDECAR_PROVIDERS: a provider is a lower-case word of [a-z0-9_], such as github")
    if not settings.reply_prefixes or not all(map(REPLY_PREFIX.fullmatch, settings.reply_prefixes)):
        raise SettingsError(
            "SIDECAR_REPLY_PREFIXES: beginnings of subjects without wildcards, each up to a dot, such as _INBOX.,_R_."
        )
    _check_addresses(settings)
    _check_pages(settings)
    if settings.kek_file is not None and settings.kek_dir is not None:
        raise SettingsError(
            "SIDECAR_KEK_FILE and SIDECAR_KEK_DIR are both set: name the file of one tenant, or the folder of all"
        )


def _check_addresses(settings: Settings) -> None:
    for name in ("operations_address", "connect_address"):
        address = getattr(settings, name)
        if address is not None and not (ADDRESS.fullmatch(address) and int(address.rpartition(":")[2]) <= MOST_PORT):
            raise SettingsError(
                f"{ENVIRONMENT}{name.upper()}: host:port, such as 127.0.0.1:8079, and 0 for a free port"
            )


def _check_pages(settings: Settings) -> None:
    """Codes and links travel to these addresses: nobody on the way may read them."""
    if settings.connect_address is not None and settings.public_url is None:
        raise SettingsError("SIDECAR_CONNECT_ADDRESS has pages that no link leads to: set SIDECAR_PUBLIC_URL too")
    for variable, url in (("PUBLIC_URL", settings.public_url), *(("RETURN_URLS", url) for url in settings.return_urls)):
        if url is not None and not _is_web_address(url, with_path=variable != "PUBLIC_URL"):
            path = "" if variable != "PUBLIC_URL" else " without a path"
            raise SettingsError(
                f"SIDECAR_{variable}: an https URL{path}, or on this machine alone http://127.0.0.1:8077"
            )


def _is_web_address(url: str, *, with_path: bool) -> bool:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    safe = parts.scheme == "https" or (parts.scheme == "http" and host in LOOPBACK)
    alone = not (parts.query or parts.fragment or "@" in parts.netloc) and (with_path or parts.path in ("", "/"))
    return bool(host) and safe and alone and url.isascii() and url.isprintable() and " " not in url


if __name__ == "__main__":
    print(table(), end="")  # noqa: T201
