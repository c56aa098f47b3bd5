# SPDX-License-Identifier: Apache-2.0
"""Logging in on a serial console: real shells of this host behind a login program that behaves."""

from __future__ import annotations

import getpass
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from driver.deadline import Deadline
from driver.errors import GuestLost, GuestTimeout, UserError
from driver.guest.console import Console
from driver.guest.console_login import ConsoleSession
from driver.guest.ssh_keys import Keys

Terminal = Callable[[str], Console]

# As getty and login(1) do it: names and passwords are read one after the other, input that came too
# early is thrown away, three wrong passwords end it.
LOGIN = """
import getpass, os, sys, termios, time
print("Debian GNU/Linux 12 guest ttyS0", flush=True)
time.sleep({boot})
for _ in range(3):
    termios.tcflush(0, termios.TCIFLUSH)
    name = input("guest login: ")
    if getpass.getpass("Password: ") == "se cret'" and name == "root":
        print("Last login: Mon Nov 30 20:00:00 UTC 2020 on ttyS0", flush=True)
        os.execvp("{shell}", ["{shell}", *{words}])
    time.sleep(0.2)
    print("\\nLogin incorrect", flush=True)
"""


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    """``terminal(program)``: the console of a guest in which a Python program runs first."""
    children: list[subprocess.Popen[bytes]] = []
    consoles: list[Console] = []

    def start(program: str) -> Console:
        ours, theirs = socket.socketpair()
        relay = f"import pty, sys; pty.spawn([sys.executable, '-c', {program!r}])"
        with theirs:
            children.append(
                subprocess.Popen(
                    [sys.executable, "-c", relay], stdin=theirs.fileno(), stdout=theirs.fileno()
                )
            )
        consoles.append(Console(ours))
        return consoles[-1]

    yield start
    for console in consoles:
        console.close()
    for child in children:
        child.kill()
        child.wait()


def soon(seconds: float = 60) -> Deadline:
    return Deadline.after(seconds, "the console")


def login_then(shell: str, *words: str, boot: float = 0.0) -> str:
    return LOGIN.format(boot=boot, shell=shell, words=list(words))


@pytest.fixture(params=["dash", "bash --norc", "busybox sh"])
def session(request: pytest.FixtureRequest, terminal: Terminal) -> ConsoleSession:
    """Shells with no line editor, with readline, and with busybox's."""
    shell, *words = request.param.split()
    if shutil.which(shell) is None:
        pytest.skip(f"this host has no {shell}")
    console = terminal(login_then(shell, *words))
    return ConsoleSession.log_in(console, soon(), password="se cret'")


def test_commands_with_their_status_and_output(session: ConsoleSession) -> None:
    done = session.run("echo out; echo error >&2; printf 'no end'; exit 7", soon())
    assert (done.status, done.output) == (7, "out\nerror\nno end")
    assert session.run(["echo", "two words", "$HOME", "it's"], soon()).output == (
        "two words $HOME it's\n"
    )
    assert session.run("kill -9 $$", soon()).status == 128 + 9
    assert session.run("cat; echo $#", soon()).output == "0\n"  # nothing to read


def test_no_command_disturbs_the_next_one(session: ConsoleSession) -> None:
    session.run("cd /tmp; PS1='login: '; export PS1; set -e; exit 1", soon())
    done = session.run("printf '%s ' \"$line\"; set -- x; echo $# $-", soon())
    assert done.status == 0
    assert "e" not in done.output.split()[-1]


def test_any_text_is_a_command(session: ConsoleSession) -> None:
    """Longer than a line, with what line editors, histories and quoting act upon."""
    text = "tab\there, !history, \\0101 back\\slash, 'quotes' \"and\" `more`, 100 %d, ä\x7f\x15"
    line = f"cat <<'END'\n{text}\n{'x' * 9000}\nEND\n"
    output = session.run(line, soon()).output.encode()
    # A terminal shows what it is given; only some control characters are its own.
    assert text.encode() in output
    assert b"x" * 9000 in output


def test_output_that_looks_like_our_own_words_is_only_output(session: ConsoleSession) -> None:
    fake = "0123456789abcdef0123456789abcdef"
    script = f"echo {fake}; echo {fake}:0; echo 'login: '; printf 'Password: \\n# '; exit 5"
    done = session.run(script, soon())
    assert done.status == 5
    assert done.output == f"{fake}\n{fake}:0\nlogin: \nPassword: \n# "


def test_a_command_that_takes_too_long_is_interrupted(session: ConsoleSession) -> None:
    with pytest.raises(GuestTimeout, match="did not finish within 1 s"):
        session.run("echo begun; exec sleep 1000", soon(1))
    assert session.run("echo on", soon()).output == "on\n"


def test_a_wrong_password_is_the_users_mistake(terminal: Terminal) -> None:
    with pytest.raises(UserError, match="refused the password of root"):
        ConsoleSession.log_in(terminal(login_then("sh")), soon(), password="secret")


def test_the_notice_of_the_last_login_is_no_prompt(terminal: Terminal, tmp_path: Path) -> None:
    """The user's name, typed at it, would be a command."""
    command = tmp_path / "root"
    command.write_text(f"#!/bin/sh\necho >{tmp_path}/typed\n")
    command.chmod(0o755)
    path = f"import os; os.environ['PATH'] += ':{tmp_path}'\n"
    session = ConsoleSession.log_in(terminal(path + login_then("sh")), soon(), password="se cret'")
    session.run("true", soon())
    assert not (tmp_path / "typed").exists()


def test_a_password_that_is_missing_is_asked_for(terminal: Terminal) -> None:
    with pytest.raises(UserError, match="asks for the password of root"):
        ConsoleSession.log_in(terminal(login_then("sh")), soon())


def test_a_shell_that_asks_nobody(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a prompt of its own, so that only asking shows that it is one."""
    monkeypatch.setattr("driver.guest.console_login._QUIET_SECONDS", 1)
    shell = "import os; os.environ['PS1'] = 'guest> '; os.execvp('sh', ['sh', '-i'])"
    session = ConsoleSession.log_in(terminal(shell), soon())
    assert session.run("echo here", soon()).output == "here\n"


def test_a_guest_that_boots_longer_than_the_console_is_left_alone(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is typed meanwhile goes nowhere, or is taken for a name."""
    monkeypatch.setattr("driver.guest.console_login._QUIET_SECONDS", 1)
    console = terminal(login_then("sh", boot=2.5))
    session = ConsoleSession.log_in(console, soon(), password="se cret'")
    assert session.run("echo here", soon()).output == "here\n"


def test_no_login_before_the_deadline(terminal: Terminal) -> None:
    console = terminal("import time; print('Booting ...', flush=True); time.sleep(1000)")
    with pytest.raises(GuestTimeout) as caught:
        ConsoleSession.log_in(console, soon(1.5))
    assert "Booting" in (caught.value.excerpt or "")


def test_a_guest_that_ends_is_lost(terminal: Terminal) -> None:
    session = ConsoleSession.log_in(terminal("import os; os.execvp('sh', ['sh', '-i'])"), soon())
    with pytest.raises(GuestLost, match="the console closed"):
        session.run("kill -9 $PPID", soon())


# A shell whose printf has the kernel write into one line of each group of our words, after ten
# characters: there a terminal shows a message as it comes.
CUT = """
printf() {{
    case $1 in
    %s%s*) command printf "$@" | sed '{line}s/........../&[   12.345678] usb 1-1: new device\\n/' ;;
    *) command printf "$@" ;;
    esac
}}
"""


def cut(line: int, directory: Path) -> str:
    """A program that is a shell with the function of ``CUT``, at home in a directory."""
    start = directory / "start.sh"
    start.write_text(CUT.format(line=line), encoding="utf-8")
    variables = {"ENV": str(start), "HOME": str(directory)}
    return f"import os; os.environ.update({variables}); os.execvp('sh', ['sh', '-i'])"


@pytest.mark.parametrize("line", [1, 2, 3])
def test_a_kernel_message_may_cut_one_of_our_words(
    terminal: Terminal, tmp_path: Path, line: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    console = terminal(cut(line, tmp_path))
    # Logging in asks until a word comes whole, which here it never does.
    monkeypatch.setattr(ConsoleSession, "_log_in", lambda *_: None)
    session = ConsoleSession.log_in(console, soon())
    done = session.run("echo here; exit 7", soon(10))
    assert done.status == 7
    assert "here" in done.output.splitlines()
    assert session.run("true", soon(10)).status == 0


@pytest.mark.parametrize("line", [1, 3])
def test_a_user_is_not_taken_from_the_parts_of_a_word(
    terminal: Terminal, tmp_path: Path, line: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = tmp_path / "key.pub"
    key.write_text("ssh-ed25519 AAAA root@guest\n", encoding="ascii")
    monkeypatch.setattr("driver.guest.console_login.HOST_KEY", str(key))
    monkeypatch.setattr(ConsoleSession, "_log_in", lambda *_: None)
    session = ConsoleSession.log_in(terminal(cut(line, tmp_path)), soon())
    login = session.authorize(Keys.generate(), soon(10))
    assert (login.host_key, login.user) == ("AAAA", getpass.getuser())


def test_a_user_whose_name_was_cut_is_asked_for_again(
    terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = tmp_path / "key.pub"
    key.write_text("ssh-ed25519 AAAA root@guest\n", encoding="ascii")
    monkeypatch.setattr("driver.guest.console_login.HOST_KEY", str(key))
    name = tmp_path / "id"
    name.write_text("#!/bin/sh\necho 'ro[   12.345678] usb 1-1: new device'\n", encoding="ascii")
    name.chmod(0o755)
    path = f"import os; os.environ['PATH'] = '{tmp_path}:' + os.environ['PATH']\n"
    session = ConsoleSession.log_in(terminal(path + cut(9, tmp_path)), soon())
    with pytest.raises(UserError, match="name of the user") as caught:
        session.authorize(Keys.generate(), soon())
    assert "Try again" in (caught.value.hint or "")


def test_a_guest_without_an_ssh_server(
    terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("driver.guest.console_login.HOST_KEY", "/nowhere/key.pub")
    program = f"import os; os.environ['HOME'] = {str(tmp_path)!r}; os.execvp('sh', ['sh', '-i'])"
    session = ConsoleSession.log_in(terminal(program), soon())
    with pytest.raises(UserError, match="no Ed25519 host key"):
        session.authorize(Keys.generate(), soon())
