# SPDX-License-Identifier: Apache-2.0
"""The ``driver`` command: its groups, its global options and how it fails.

Every error of :mod:`driver.errors` ends as one message with a hint on stderr and the exit status
of its class; a traceback is shown only with ``--verbose``, or for a bug of our own.
"""

from __future__ import annotations

import errno
import functools
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
import typer.main

import driver
from driver.cli import (
    build,
    cache,
    cluster,
    compare,
    context,
    coverage,
    debug,
    doctor,
    logging,
    logs,
    patch,
    repeatability,
    report,
    run,
    runs,
    settings,
    shell,
    suite,
)
from driver.errors import DriverError, HostError, UserError
from driver.guest import emulator
from driver.signals import StopSignal, raise_on_signals
from driver.store import Store

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
# So much of a file name that is too long is shown.
_MOST_OF_A_NAME = 60


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"driver {driver.__version__}")
        raise typer.Exit


@app.callback()
def _global_options(
    verbose: Annotated[
        int,
        typer.Option(
            "--verbose",
            "-v",
            count=True,
            show_default=False,
            help="Log commands and decisions with their times, and show tracebacks; -vv also logs "
            "the protocols spoken with QEMU and the guest.",
        ),
    ] = 0,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print results and errors only, no progress.")
    ] = False,
    qemu: Annotated[
        str | None,
        typer.Option(
            "--qemu",
            metavar="PATH",
            envvar=emulator.VARIABLE,
            show_envvar=False,
            help="Run guests with this QEMU.  [default: qemu-system-x86_64 on PATH]",
            show_default=False,
        ),
    ] = None,
    version: Annotated[  # noqa: ARG001  (handled by its eager callback)
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    context.set_verbosity(verbose=verbose, quiet=quiet)
    logging.configure(verbose)
    settings.log_location()
    if qemu is not None:
        os.environ[emulator.VARIABLE] = str(Path(qemu).expanduser())


@functools.cache
def command() -> Any:
    """Every command there is, as a tree that can be asked for its options (see reference.py)."""
    finished = (runs, compare, report, logs, repeatability, coverage, debug)
    for group in (build, run, suite, *finished, patch, cache, cluster, doctor, shell):
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


def _obey(arguments: Sequence[str], stopped: StopSignal) -> object:
    """Run one command; what it returns, if anything, is an exit status."""
    defaults = _defaults(arguments)
    status = command()(
        args=arguments, prog_name="driver", standalone_mode=False, default_map=defaults
    )
    if stopped.number is not None and status == _CLICK_INTERRUPTED:
        raise KeyboardInterrupt
    return status


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the console script; always leaves through :class:`SystemExit`."""
    words = sys.argv[1:] if arguments is None else arguments
    with raise_on_signals() as stopped:
        try:
            status = _obey(words, stopped)
        except typer.TyperException as error:
            _refuse_usage(error, words)
        except (KeyboardInterrupt, typer.Abort):
            _print_error("interrupted", hint=None, excerpt=None, log=None)
            sys.exit(stopped.exit_status)
        except DriverError as error:
            _fail(error)
        except OSError as error:
            _fail(_explained(error))
    sys.exit(status if isinstance(status, int) else 0)


def _refuse_usage(error: typer.TyperException, arguments: Sequence[str]) -> NoReturn:
    """A command line that cannot be understood: an unknown command or option, a bad value."""
    asked = getattr(error, "ctx", None)
    if asked is not None and type(error).__name__ == "NoArgsIsHelpError":
        # No command was given: show which there are, but do not let a script continue.
        print(asked.get_help(), file=sys.stderr)
        sys.exit(UserError.exit_status)
    where = asked.command_path if asked is not None else _path_in(arguments)
    _print_error(_usage(error), hint=f"Run `{where} --help`.", excerpt=None, log=None)
    sys.exit(UserError.exit_status)


def _usage(error: typer.TyperException) -> str:
    """What is wrong with a command line, without the terms of click and pydantic."""
    from driver.schema_errors import in_words  # noqa: PLC0415  (loaded as it is used)

    # Options that do not go together: no value is to blame.
    message = error.format_message().removeprefix("Invalid value: ")
    name, colon, reason = message.partition(": ")
    return f"{name}{colon}{in_words(reason)}" if name.startswith("Invalid value for") else message


def _path_in(arguments: Sequence[str]) -> str:
    """The command that a command line names, as far as its words alone show it.

    An option without its value is refused by a parser that does not say whose it was.
    """
    path, here = ["driver"], command()
    for word in arguments:
        below = getattr(here, "commands", {}).get(word)
        if below is not None:
            here = below
            path.append(word)
    return " ".join(path)


def _explained(error: OSError) -> DriverError:
    """What the operating system refused, as far as its error says whose fault that is."""
    where = f"{error.filename}: " if error.filename else ""
    reason = f"{where}{error.strerror or error}"
    if error.errno == errno.ENOSPC:
        writing = f" while writing {error.filename}" if error.filename else ""
        return HostError(
            f"the disk is full{writing}",
            hint="Free some space and run the same command again: finished work is kept.",
        )
    if error.errno == errno.ENAMETOOLONG:
        return UserError(
            "a file name is too long for the file system: "
            + f"{os.fsdecode(error.filename or '')[:_MOST_OF_A_NAME]}...",
            hint="Give a shorter name; a text may stand where a path belongs.",
        )
    if error.filename and _leads_to(Path(os.fsdecode(error.filename)), Store().root):
        return HostError(
            f"cannot use the cache: {reason}",
            hint="Set DRIVER_CACHE to a writable directory.",
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return HostError(reason, hint="Run the driver as a user, or in a copy, that may do this.")
    return HostError(reason, hint="`driver -v` with the same command logs what it was doing.")


def _leads_to(path: Path, root: Path) -> bool:
    """Whether a path is a directory, its parent or something in it."""
    return path.is_relative_to(root) or root.is_relative_to(path)


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
