# SPDX-License-Identifier: Apache-2.0
"""Guests without our agent: log in on the serial console as a person would, and run commands.

A prompt can look like anything, and a command's output can look like a prompt. So a command runs
between two words of 128 random bits. The typed line has them in halves and the shell prints them
joined: no echo, no output and no kernel message can be taken for them.

The kernel writes its messages between any two characters of a terminal's output, and so into a word
as well. Each is printed several times, on lines of their own, and one whole line is enough.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import shlex
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from driver.deadline import TOO_SHORT, Deadline
from driver.errors import GuestTimeout, UserError
from driver.guest.console import Console, Seen
from driver.guest.diagnosis import Diagnosis
from driver.guest.ssh_keys import Keys, Login

# agetty(8) and busybox getty print "NAME login: ", login(1) "Password: "; after it "Last login: ".
_LOGIN = re.compile(r"(?<!Last )[Ll]ogin: ")
_PASSWORD = re.compile(r"[Pp]assword: ")
_REFUSED = re.compile(r"Login incorrect|Maximum number of tries|Authentication failure")
# The usual prompts, when nothing follows them.
_PROMPT = re.compile(r"[#$] $")

# A console that shows nothing we know for so many seconds is spoken to.
_QUIET_SECONDS = 5.0
# Seconds between two looks at the guest's health.
_LOOK_EVERY = 0.5

# So many bytes of a command are typed at a time: a terminal takes lines of 4095 bytes (N_TTY),
# busybox's line editor of 1023, and the words around it need 300.
_PORTION = 600
# So many times each of the two words is printed.
_COPIES = 3
_INTERRUPT = b"\x03"

HOST_KEY = "/etc/ssh/ssh_host_ed25519_key.pub"


@dataclass(frozen=True)
class ConsoleResult:
    """A command that ran on the console: its exit status (128 plus the number of a signal that
    killed it) and what the console showed meanwhile: stdout, stderr, and the kernel's messages.

    A message that cut one of our own words leaves the parts of it at either end of ``output``.
    """

    status: int
    output: str


class ConsoleSession:
    """A shell on a serial console; made by :meth:`log_in`.

    ``diagnosis`` tells why a guest fails in the middle of it.
    """

    def __init__(self, console: Console, diagnosis: Diagnosis | None = None) -> None:
        self._console = console
        self._diagnosis = diagnosis

    @classmethod
    def log_in(
        cls,
        console: Console,
        deadline: Deadline,
        *,
        user: str = "root",
        password: str | None = None,
        diagnosis: Diagnosis | None = None,
    ) -> ConsoleSession:
        """Wait for a login prompt, or for a shell without a login, and answer it.

        Raises :class:`UserError` when the guest refuses the password or asks for one and there is
        none; :class:`GuestTimeout` when there is no shell by the deadline.
        """
        session = cls(console, diagnosis)
        with session._explaining("while logging in on the console"):
            session._log_in(user, password, deadline)
        return session

    def run(self, command: str | Sequence[str], deadline: Deadline) -> ConsoleResult:
        """Run a command line (or a list of words, quoted here) in a ``sh`` of its own.

        Its standard input is empty. Large outputs and files are for SSH: a serial line is slow, and
        the kernel may write into the middle of them. At the deadline the command is sent Ctrl-C,
        and :class:`GuestTimeout` is raised; the session is usable if that ended it.
        """
        line = command if isinstance(command, str) else shlex.join(command)
        with self._explaining(f"during `{line.split(maxsplit=1)[0] if line.strip() else line}`"):
            # In portions that a terminal takes, and in characters that no line editor acts upon.
            self._execute("line=", deadline)
            for portion in _portions(line):
                self._execute(f"line=$line'{portion}'", deadline)
            return self._execute('sh -c "$(printf %b "$line")" </dev/null', deadline)

    def authorize(self, keys: Keys, deadline: Deadline) -> Login:
        """Let the user's pair of ``keys`` in over SSH; returns what a client then needs.

        That includes the host key of the guest's OpenSSH server, which the console is trusted to
        show. Raises :class:`UserError` if it has none.
        """
        add = (
            "umask 077; mkdir -p ~/.ssh && "
            f"printf '%s\\n' {shlex.quote(keys.authorized.strip())} >>~/.ssh/authorized_keys && "
            f"cat {HOST_KEY}; echo user=$(id -un)"
        )
        done = self.run(add, deadline)
        host_key = re.search(r"^ssh-ed25519 (\S+)", done.output, re.M)
        if host_key is None:
            raise UserError(
                "the guest's SSH server has no Ed25519 host key",
                hint=f"Install openssh-server in the image; it creates {HOST_KEY}.",
                excerpt=done.output or None,
            )
        user = re.search(r"^user=(\S+)$", done.output, re.M)
        if user is None:
            raise UserError(
                "the guest did not show the name of the user on its console",
                hint="Try again: a kernel message may have cut it.",
                excerpt=done.output,
            )
        return Login(key=keys.login, host_key=host_key[1], user=user[1])

    def _log_in(self, user: str, password: str | None, deadline: Deadline) -> None:
        first, second = _word()
        ready = re.compile(first + second)
        named = answered = False
        while True:
            seen = self._look_for((ready, _LOGIN, _PASSWORD, _REFUSED, _PROMPT), deadline)
            if seen is None or seen.match.re is _PROMPT:
                # Is there a shell? If it was something else that reads the line, it asks again.
                self._console.send_line(f" printf '%s%s\\n' {first} {second}")
            elif seen.match.re is ready:
                return
            elif seen.match.re is _LOGIN:
                named, answered = True, False
                self._console.send_line(user)
            elif seen.match.re is _REFUSED:
                if answered:
                    raise UserError(
                        f"the guest refused the password of {user}",
                        hint="Give the password that the image has for that user.",
                        excerpt=seen.before[-500:],
                    )
            elif not named:  # something typed earlier was taken for a name
                self._console.send_line("")
            elif password is None:
                raise UserError(
                    f"the guest asks for the password of {user}", hint="Give a password."
                )
            else:
                answered = True
                self._console.send_line(password)

    def _look_for(self, patterns: Sequence[re.Pattern[str]], deadline: Deadline) -> Seen | None:
        """One of the patterns, or None when the console has been quiet for a while."""
        quiet = Deadline.after(_QUIET_SECONDS, deadline.what)
        while not quiet.expired:
            self._check(deadline)
            seconds = min(_LOOK_EVERY, quiet.remaining(), deadline.remaining())
            seen = self._console.look_for(patterns, seconds)
            if seen is not None:
                return seen
        return None

    def _execute(self, line: str, deadline: Deadline) -> ConsoleResult:
        """Have the login shell execute a line of printable ASCII."""
        first, second = _word()
        # printf(1) uses its format again until it has no arguments left.
        begin, end = (
            " ".join([arguments] * _COPIES)
            for arguments in (f"{first} {second}", f"{first} {second} $?")
        )
        self._console.send_line(f" printf '%s%s\\n' {begin}; {line}; printf '%s%s:%d\\n' {end}")
        began = re.compile(rf"{first}{second}\r?\n")
        self._await(began, deadline)
        ended = self._await(re.compile(rf"{first}{second}:(\d+)\r?\n"), deadline)
        output = began.split(ended.before)[-1]  # after the other copies
        return ConsoleResult(int(ended.match[1]), output.replace("\r\n", "\n"))

    def _await(self, pattern: re.Pattern[str], deadline: Deadline) -> Seen:
        try:
            while True:
                self._check(deadline)
                seen = self._console.look_for([pattern], min(_LOOK_EVERY, deadline.remaining()))
                if seen is not None:
                    return seen
        except GuestTimeout:
            self._console.sendall(_INTERRUPT)
            raise

    def _check(self, deadline: Deadline) -> None:
        if self._diagnosis is not None:
            self._diagnosis.check_alive()
        if deadline.expired:
            raise GuestTimeout(
                f"{deadline.what} did not finish within {deadline.seconds:.0f} s",
                hint=TOO_SHORT,
                excerpt=self._console.unmatched() or None,
            )

    def _explaining(self, when: str) -> AbstractContextManager[None]:
        return self._diagnosis.explaining(when) if self._diagnosis else contextlib.nullcontext()


def _word() -> tuple[str, str]:
    """Two halves of a random word."""
    return secrets.token_hex(8), secrets.token_hex(8)


def _portions(line: str) -> list[str]:
    """A text for the ``%b`` of printf(1) inside single quotes, in portions that can be typed."""
    plain = set(range(0x20, 0x7F)) - {ord("'"), ord("\\")}
    portions = [""]
    for byte in line.encode():
        if len(portions[-1]) >= _PORTION:
            portions.append("")
        portions[-1] += chr(byte) if byte in plain else f"\\0{byte:03o}"
    return portions
