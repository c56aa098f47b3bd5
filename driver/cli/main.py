# SPDX-License-Identifier: Apache-2.0
"""The ``driver`` command: its groups, its global options and how it fails.

Every error of :mod:`driver.errors` ends as one message with a hint on stderr and the exit status
of its class; a traceback is shown only with ``--verbose``, or for a bug of our own.
"""

from __future__ import annotations

import errno
import functools
import logging
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

import typer
import typer.main

from driver import __version__
from driver.cli import context, settings
from driver.errors import DriverError, HostError, UserError
from driver.interrupt import Told, orderly

app = typer.Typer(
    name="driver",
    help="Build kernels, boot them on an emulated NVDIMM, run experiments, keep the evidence.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


# What click makes of KeyboardInterrupt: it returns this status instead of letting it through.
_CLICK_INTERRUPTED = 130


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"driver {__version__}")
        raise typer.Exit


@app.callback()
def _global_options(
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Explain more; show tracebacks.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress; results and errors only.")
    ] = False,
    version: Annotated[  # noqa: ARG001  (handled by its eager callback)
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print and exit."),
    ] = False,
) -> None:
    context.set_verbosity(verbose=verbose, quiet=quiet)
    logging.basicConfig(level=logging.DEBUG if verbose else logging.ERROR)
    for noisy in ("paramiko", "qemu", "asyncio", "matplotlib"):
        logging.getLogger(noisy).setLevel(logging.INFO if verbose else logging.CRITICAL)


@functools.cache
def command() -> Any:
    """Every command there is, as a tree that can be asked for its options (see reference.py)."""
    # Each of these imports the layer below it when it is called, not before.
    from driver.cli import (  # noqa: PLC0415
        build,
        cache,
        compare,
        doctor,
        logs,
        patch,
        repeatability,
        report,
        run,
        runs,
        shell,
    )

    finished = (runs, compare, report, logs, repeatability)
    for group in (build, run, *finished, patch, cache, doctor, shell):
        group.register(app)
    return typer.main.get_command(app)


def _defaults(arguments: Sequence[str]) -> dict[str, Any]:
    """What the configuration file says; a mistake in it must not keep a person from the help."""
    try:
        found = settings.load(command())
    except UserError:
        if {"-h", "--help", "--version"} & set(arguments):
            return {}
        raise
    context.set_project(found.pop(settings.PROJECT, None))
    return found


def _obey(arguments: Sequence[str], told: Told) -> object:
    """Run one command; what it returns, if anything, is an exit status."""
    defaults = _defaults(arguments)
    status = command()(
        args=arguments, prog_name="driver", standalone_mode=False, default_map=defaults
    )
    if told.number is not None and status == _CLICK_INTERRUPTED:
        raise KeyboardInterrupt
    return status


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the console script; always leaves through :class:`SystemExit`."""
    with orderly() as told:
        try:
            status = _obey(sys.argv[1:] if arguments is None else arguments, told)
        except typer.TyperException as error:
            _refuse_usage(error)
        except (KeyboardInterrupt, typer.Abort):
            _print_error("interrupted", hint=None, excerpt=None, log=None)
            sys.exit(told.exit_status)
        except DriverError as error:
            _fail(error)
        except OSError as error:
            _fail(_as_host_error(error))
    sys.exit(status if isinstance(status, int) else 0)


def _refuse_usage(error: typer.TyperException) -> NoReturn:
    """A command line that cannot be understood: an unknown command or option, a bad value."""
    where = getattr(getattr(error, "ctx", None), "command_path", "driver")
    _print_error(error.format_message(), hint=f"Run `{where} --help`.", excerpt=None, log=None)
    sys.exit(UserError.exit_status)


def _as_host_error(error: OSError) -> HostError:
    if error.errno == errno.ENOSPC:
        where = f" while writing {error.filename}" if error.filename else ""
        return HostError(
            f"the disk is full{where}",
            hint="Free some space and run the same command again: finished work is kept.",
        )
    return HostError(str(error))


def _fail(error: DriverError) -> NoReturn:
    if context.verbose():
        traceback.print_exc()
    _print_error(error.message, hint=error.hint, excerpt=error.excerpt, log=error.log)
    sys.exit(error.exit_status)


def _print_error(
    message: str, *, hint: str | None, excerpt: str | None, log: object | None
) -> None:
    red, bold, plain = ("\x1b[31m", "\x1b[1m", "\x1b[0m") if context.colour() else ("", "", "")
    lines = [f"{red}{bold}error:{plain} {message}"]
    if excerpt:
        lines += [f"  | {line}" for line in excerpt.splitlines()]
    if log:
        lines.append(f"{bold}log:{plain} {log}")
    if hint:
        lines.append(f"{bold}hint:{plain} {hint}")
    print("\n".join(lines), file=sys.stderr)


if __name__ == "__main__":
    main()
