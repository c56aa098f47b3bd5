# SPDX-License-Identifier: Apache-2.0
"""Running programs.

A failed command is reported with the line to paste into a shell, the last lines it printed, and
the file with its whole output. For a missing program the message names the Debian package.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from driver.errors import HostError
from driver.text import last_lines

_log = logging.getLogger(__name__)

# Debian package that ships each program the driver calls (`dpkg -S $(which PROGRAM)`).
DEBIAN_PACKAGE = {
    "addr2line": "binutils",
    "apt-cache": "apt",
    "ar": "binutils",
    "apt-get": "apt",
    "bc": "bc",
    "bison": "bison",
    "cpio": "cpio",
    "dpkg-deb": "dpkg",
    "flex": "flex",
    "gcc": "gcc",
    "git": "git",
    "ld": "binutils",
    "make": "make",
    "mkfs.erofs": "erofs-utils",
    "mmdebstrap": "mmdebstrap",
    "newgidmap": "uidmap",
    "newuidmap": "uidmap",
    "nm": "binutils",
    "objcopy": "binutils",
    "perl": "perl",
    "qemu-img": "qemu-utils",
    "qemu-system-x86_64": "qemu-system-x86",
    "readelf": "binutils",
    "setpriv": "util-linux",
    "tar": "tar",
    "xz": "xz-utils",
}

_TAIL_LINES = 40
# Descriptors that programs inherit: see hand_down().
_handed_down: list[int] = []


class CommandFailed(HostError):
    """A command exited with a status other than 0, or was killed."""

    def __init__(self, command: str, status: int, output: str, log: Path | None) -> None:
        super().__init__(
            f"`{command}` {describe_status(status)}",
            excerpt=output.strip() or None,
            log=log,
            hint="Paste the command into a shell to reproduce the failure.",
        )
        self.status = status
        self.output = output
        self._explained = False

    def explain(self, task: str) -> None:
        """Begin the message with what the command was for, unless it does already."""
        if not self._explained:
            self.message = f"cannot {task}: {self.message}"
            self.args = (self.message,)
            self._explained = True


@contextmanager
def explaining(task: str) -> Iterator[None]:
    """Say first what a command that fails was for: ``cannot TASK: `git ...` exited with ...``.

    ``task`` begins with an infinitive. The innermost explanation is the one that counts.
    """
    try:
        yield
    except CommandFailed as failure:
        failure.explain(task)
        raise


@dataclass(frozen=True)
class Completed:
    """A finished command: its exit status and everything it printed, decoded leniently."""

    command: str
    status: int
    stdout: str
    stderr: str


@contextmanager
def hand_down(descriptor: int) -> Iterator[None]:
    """Let programs that are started meanwhile inherit a descriptor.

    That of a lock is held until the last of them has ended, even if the driver is killed before.
    """
    _handed_down.append(descriptor)
    try:
        yield
    finally:
        _handed_down.remove(descriptor)


def quote(argv: Sequence[str | Path], cwd: Path | None = None) -> str:
    """The line that repeats the command in a shell."""
    line = shlex.join(str(word) for word in argv)
    return f"cd {shlex.quote(str(cwd))} && {line}" if cwd else line


def run(
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str | None] | None = None,
    stdin: str | None = None,
    timeout: float | None = None,
    check: bool = True,
) -> Completed:
    """Run a command to its end and return what it printed.

    ``env`` is added to the present environment; a value of None takes a variable away. Raises
    :class:`CommandFailed` on a non-zero status when ``check``; :class:`HostError` when the
    program is missing or ``timeout`` (in seconds) passes.
    """
    command = quote(argv, cwd)
    began = _begin(command)
    try:
        done = subprocess.run(
            [str(word) for word in argv],
            cwd=cwd,
            env=_environment(env),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
            pass_fds=_handed_down,
        )
    except FileNotFoundError as error:
        raise _missing(argv, cwd) from error
    except subprocess.TimeoutExpired as error:
        raise HostError(
            f"`{command}` did not finish within {timeout:g} s",
            hint="Paste the command into a shell to see what it waits for.",
        ) from error
    _end(argv, done.returncode, began)
    if check and done.returncode != 0:
        raise CommandFailed(
            command, done.returncode, last_lines(done.stdout + done.stderr, _TAIL_LINES), None
        )
    return Completed(command, done.returncode, done.stdout, done.stderr)


def output_of(argv: Sequence[str | Path], *, env: Mapping[str, str | None] | None = None) -> bytes:
    """What a command prints to its standard output, to the byte; errors as :func:`run`."""
    command = quote(argv)
    began = _begin(command)
    try:
        done = subprocess.run(
            [str(word) for word in argv],
            env=_environment(env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            pass_fds=_handed_down,
        )
    except FileNotFoundError as error:
        raise _missing(argv, None) from error
    _end(argv, done.returncode, began)
    if done.returncode != 0:
        said = last_lines(done.stderr.decode(errors="replace"), _TAIL_LINES)
        raise CommandFailed(command, done.returncode, said, None)
    return done.stdout


def stream(
    argv: Sequence[str | Path],
    *,
    log: Path,
    on_line: Callable[[str], None] = lambda _line: None,
    cwd: Path | None = None,
    env: Mapping[str, str | None] | None = None,
) -> None:
    """Run a long command, handing each output line to ``on_line`` while all of it goes to ``log``.

    The command gets a process group of its own: an interrupt or an exception in ``on_line``
    ends the whole group (``make`` and its children), then propagates. Raises
    :class:`CommandFailed` with the last lines on a non-zero status.
    """
    command = quote(argv, cwd)
    began = _begin(command)
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as sink:
        sink.write(f"$ {command}\n")
        try:
            child = subprocess.Popen(
                [str(word) for word in argv],
                cwd=cwd,
                env=_environment(env),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
                pass_fds=_handed_down,
            )
        except FileNotFoundError as error:
            raise _missing(argv, cwd) from error
        try:
            assert child.stdout is not None
            for line in child.stdout:
                sink.write(line)
                tail.append(line)
                on_line(line.rstrip("\n"))
            status = child.wait()
        except BaseException:
            end_group(child)
            raise
    _end(argv, status, began)
    if status != 0:
        raise CommandFailed(command, status, "".join(tail), log)


def end_group(child: subprocess.Popen[str], grace: float = 5.0) -> None:
    """Ask, then force, a child started in its own session to end, with its descendants."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        try:
            child.wait(timeout=grace)
        except subprocess.TimeoutExpired:
            continue
        return


def _begin(command: str) -> float:
    _log.info("$ %s", command)
    return time.monotonic()


def _end(argv: Sequence[str | Path], status: int, began: float) -> None:
    seconds = time.monotonic() - began
    _log.info("%s %s after %.2f s", Path(argv[0]).name, describe_status(status), seconds)


def _environment(changes: Mapping[str, str | None] | None) -> dict[str, str]:
    merged = {**os.environ, **(changes or {})}
    return {name: value for name, value in merged.items() if value is not None}


def _missing(argv: Sequence[str | Path], cwd: Path | None) -> HostError:
    if cwd is not None and not cwd.is_dir():
        return HostError(f"cannot run {argv[0]} in {cwd}: there is no such directory")
    return missing_program(str(argv[0]))


def missing_program(program: str) -> HostError:
    """The error for a program that is not on PATH; the hint names its Debian package."""
    return HostError(f"the program `{program}` was not found", hint=install_hint(program))


def install_hint(*programs: str) -> str:
    """How to install programs, as far as :data:`DEBIAN_PACKAGE` knows their packages."""
    them = "it" if len(programs) == 1 else "them"
    packages = {DEBIAN_PACKAGE.get(Path(program).name) for program in programs}
    known = sorted(package for package in packages if package)
    return (
        f"Install {them}: sudo apt-get install {' '.join(known)}" if known else f"Install {them}."
    )


def describe_status(status: int) -> str:
    """An exit status in words; a negative one is the number of the signal that killed the process.

    Real-time signals have no names, and are given by number.
    """
    if status >= 0:
        return f"exited with status {status}"
    known = {number.value: number.name for number in signal.Signals}
    return f"was killed by {known.get(-status, f'signal {-status}')}"
