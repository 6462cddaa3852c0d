"""Options that several commands share."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import click

from sidecar.cli.failure import USAGE, Stopped, stop
from sidecar.cli.session import DEFAULT, settings_here
from sidecar.wire.subject import EVERY, MAX_TOKEN, NAME, OPERATION, encode_token

Command = TypeVar("Command", bound=Callable[..., Any])


def named(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """The value as the name of a tenant or connection: one that a subject can hold."""
    del context
    if value is None:
        return None
    what = parameter.human_readable_name
    if not value or value == EVERY:
        raise click.BadParameter(f"{value!r} is not a name" if value else "it is empty", param_hint=f"--{what}")
    try:
        token = encode_token(value)
    except UnicodeEncodeError:
        raise click.BadParameter("it is not UTF-8", param_hint=f"--{what}") from None
    if len(token) > MAX_TOKEN:
        raise click.BadParameter(f"it is too long for a subject ({len(token)} > {MAX_TOKEN})", param_hint=f"--{what}")
    return value


def finite(context: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    """The value as a number of seconds above 0."""
    del context, parameter
    if value is not None and not (math.isfinite(value) and value > 0):
        raise click.BadParameter("seconds are a number above 0")
    return value


def provider_name(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """The value as a provider's name."""
    del context, parameter
    if value is not None and not NAME.fullmatch(value):
        raise click.BadParameter(f"{value[:80]!r} is not a provider: a lower-case word of [a-z0-9_], such as github")
    return value


def operation_name(value: str) -> tuple[str, str]:
    """Provider and operation of `github.issues.create`."""
    provider, _, operation = value.partition(".")
    if not NAME.fullmatch(provider):
        raise stop(
            USAGE,
            f"{value[:80]!r} is not PROVIDER.OPERATION, such as github.issues.create",
            "see sidecar provider list",
        )
    if not operation:
        raise stop(
            USAGE, f"{provider} is a provider; name one of its operations", f"see sidecar provider show {provider}"
        )
    if not OPERATION.fullmatch(operation):
        rule = "an operation is lower-case words of [a-z0-9_], separated by dots"
        raise stop(USAGE, f"{operation[:80]!r} is no operation: {rule}", f"see sidecar provider show {provider}")
    return provider, operation


def json_option(command: Command) -> Command:
    return click.option("--json", "as_json", is_flag=True, help="The same facts for machines, as JSON on stdout.")(
        command
    )


def tenant_option(command: Command) -> Command:
    return click.option(
        "--tenant", callback=_tenant, help="Whose connections are used. Default: SIDECAR_TENANT, else default."
    )(command)


def _tenant(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None:
        return named(context, parameter, value)
    try:
        return settings_here().tenant or DEFAULT
    except Stopped:  # told by whoever needs the settings
        return DEFAULT


def connection_option(command: Command) -> Command:
    return click.option(
        "-c", "--connection", default="default", show_default=True, callback=named, help="Which account is used."
    )(command)
