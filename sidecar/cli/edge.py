"""The edge of the command line: commands found by name, and every end of a command turned into text and exit code."""

from __future__ import annotations

import errno
import importlib
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import click

from sidecar.cli.failure import DEFECT, EXIT, UNWRITTEN, USAGE, Stopped, exit_code, failure_text, stop
from sidecar.cli.terminal import colours, paint, put_json, say
from sidecar.model import Code

INTERRUPTED = 130  # 128 + SIGINT
NOBODY_READS = 1  # as click ends a command whose reader has gone
UNWRITABLE = frozenset({errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


class Commands(click.Group):
    """A group whose commands are imported when they are called: `--help` imports none of them."""

    def __init__(self, *args: Any, places: Mapping[str, tuple[str, str]], **kwargs: Any) -> None:
        """`places` maps a command's name to its module, which holds it as `command`, and to its summary."""
        super().__init__(*args, **kwargs)
        self._places = places

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(self._places)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in self._places:
            return None
        command: click.Command = importlib.import_module(self._places[cmd_name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in self._places.items()])

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,  # noqa: FBT001, FBT002  # the signature is click's
        **extra: Any,
    ) -> Any:
        """Run the command of these words and exit: with its code, or with that of what stopped it."""
        words = list(sys.argv[1:] if args is None else args)
        extra.setdefault("color", colours(os.environ))
        if not standalone_mode:
            return super().main(words, prog_name, complete_var, standalone_mode=False, **extra)
        try:
            code = self._ended(words, prog_name or "sidecar", complete_var, extra)
        except OSError as error:
            code = _unwritten(error)
        sys.exit(code)

    def _ended(self, words: list[str], prog_name: str, complete_var: str | None, extra: dict[str, Any]) -> int:
        """The exit code, once everything is said. Raises OSError where it cannot be written."""
        as_json = "--json" in words
        try:
            code = super().main(words, prog_name, complete_var, standalone_mode=False, **extra)
        except click.exceptions.NoArgsIsHelpError as error:
            say(error.format_message())
            code = EXIT[Code.INVALID_ARGUMENT]
        except click.ClickException as error:
            code = _stopped(_usage(error), as_json=as_json)
        except (click.Abort, KeyboardInterrupt):
            say("interrupted")
            code = INTERRUPTED
        except Exception as error:
            inner = innermost(error)
            if isinstance(inner, OSError) and inner.errno in UNWRITABLE and inner.filename is None:
                raise inner from error
            code = _stopped(inner, as_json=as_json)  # told, or shown whole as the defect that it is
        return code or 0


def innermost(error: Exception) -> Exception:
    """The one exception within the groups that task groups wrap it in."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _unwritten(error: OSError) -> int:
    """Nobody reads on, which is no matter; or there is no room, which is told where that can be. What is left to be
    written goes nowhere: at the end Python would try again.
    """
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if error.errno == errno.EPIPE:
        return NOBODY_READS
    with suppress(OSError):
        say(f"could not write to stdout: {error.strerror}")
    return UNWRITTEN


def _stopped(error: Exception, *, as_json: bool) -> int:
    """Say what stopped the command; returns its exit code."""
    if isinstance(error, Stopped):
        stopped = error
    else:
        traceback.print_exception(error)
        hint = "send the lines above to the maintainers: this is not your mistake"
        stopped = stop(DEFECT, f"{type(error).__name__}: {error}", hint)
    if as_json:
        put_json(stopped.as_json)
    else:
        say(failure_text(stopped.failure, paint))
    return exit_code(stopped.failure)


def _usage(error: click.ClickException) -> Exception:
    """A mistake in the command's words."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "sidecar"
    return stop(USAGE, error.format_message(), f"see {path} --help")
