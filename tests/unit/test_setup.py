# SPDX-License-Identifier: Apache-2.0
"""setup.sh next to another package manager, and on a Python that is too old.

The real apt-get runs here, on directories of its own, so that its locks and messages are real. No
test needs root or the network.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LISTS = "lists/lock"
ARCHIVES = "cache/archives/lock"
FRONTEND = "dpkg/lock-frontend"


@pytest.fixture
def apt(tmp_path: Path) -> Path:
    """The directory of an apt that knows no package and no mirror; ``conf`` is its APT_CONFIG."""
    if not shutil.which("apt-get"):
        pytest.skip("no apt-get on this system")
    home = tmp_path / "apt"
    for name in ("lists/partial", "cache/archives/partial", "dpkg", "etc/parts"):
        (home / name).mkdir(parents=True)
    (home / "dpkg/status").touch()
    (home / "etc/sources.list").touch()
    (home / "conf").write_text(
        f'Dir::State "{home}";\n'
        f'Dir::State::Lists "{home}/lists";\n'
        f'Dir::State::status "{home}/dpkg/status";\n'
        f'Dir::Cache "{home}/cache";\n'
        f'Dir::Etc::sourcelist "{home}/etc/sources.list";\n'
        f'Dir::Etc::sourceparts "{home}/etc/parts";\n'
        # The hooks of the machine (docker-clean) would act on the machine.
        "#clear APT::Update::Post-Invoke; #clear DPkg::Post-Invoke;\n"
    )
    return home


@contextmanager
def held(lock: Path) -> Iterator[None]:
    """Hold a lock as apt and dpkg do: a POSIX record lock of another process."""
    script = (
        "import fcntl, sys; file = open(sys.argv[1], 'w'); fcntl.lockf(file, fcntl.LOCK_EX);"
        "print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        ["/usr/bin/python3", "-c", script, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        yield


def call(function: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Call one function of setup.sh as root would."""
    return subprocess.run(
        ["bash", "-c", f'. "{ROOT}/setup.sh"; id() {{ echo 0; }}; {function}'],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "APT_LOCK_RETRY": "0.1", **environment},
    )


def apt_get(home: Path, arguments: str, timeout: int) -> subprocess.CompletedProcess[str]:
    """Call setup.sh's apt_get, which may wait ``timeout`` seconds."""
    environment = {"APT_CONFIG": str(home / "conf"), "APT_LOCK_TIMEOUT": str(timeout)}
    return call(f"apt_get {arguments}", **environment)


@pytest.mark.parametrize(
    ("arguments", "lock"), [("update -q", LISTS), ("install -q -y nothing", FRONTEND)]
)
def test_gives_up_on_a_lock_that_stays_held(apt: Path, arguments: str, lock: str) -> None:
    with held(apt / lock):
        done = apt_get(apt, arguments, timeout=2)
    assert done.returncode == 3
    waiting, gave_up, hint = done.stderr.splitlines()
    assert waiting.startswith("==> waiting up to 2 s for another package manager: ")
    assert str(apt / lock) in waiting
    assert gave_up.startswith("==> another package manager still runs after 2 s: ")
    assert hint == "==> wait until it has finished, or end it; then run this again"


def test_waits_for_a_lock_and_goes_on(apt: Path) -> None:
    with held(apt / LISTS):
        # The holder ends with its standard input, that is with the block.
        done: list[subprocess.CompletedProcess[str]] = []
        caller = threading.Thread(target=lambda: done.append(apt_get(apt, "update -q", 60)))
        caller.start()
        time.sleep(0.5)
        assert not done
    caller.join()
    assert done[0].returncode == 0
    assert done[0].stderr.count("waiting up to 60 s") == 1


def test_any_other_failure_is_reported_at_once(apt: Path) -> None:
    begun = time.monotonic()
    done = apt_get(apt, "install -q -y nothing", timeout=60)
    assert time.monotonic() - begun < 30
    assert done.returncode == 100
    assert "E: Unable to locate package nothing" in done.stderr
    assert "waiting" not in done.stderr


def test_an_old_python_is_refused_by_name(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.2 && exit 0\nexit 1\n')
    old.chmod(0o755)
    done = call(f"PYTHON={old}; make_environment {tmp_path}/venv")
    assert done.returncode == 3
    assert done.stderr == (
        "==> Python 3.11 or newer is needed (Debian 12 has 3.11); this is Python 3.9.2\n"
    )
    assert not (tmp_path / "venv").exists()


def test_a_python_that_is_not_there_is_not_called_an_old_one(tmp_path: Path) -> None:
    done = call(f"PYTHON={tmp_path}/python3; make_environment {tmp_path}/venv")
    assert done.returncode == 3
    assert done.stderr == (
        f"==> there is no {tmp_path}/python3: install Python 3.11 or newer with its venv module\n"
    )


def test_a_failure_of_pip_says_what_it_was_for(tmp_path: Path) -> None:
    """Of the right age, it makes an environment whose pip cannot fetch anything."""
    python = tmp_path / "python3"
    python.write_text(
        '#!/bin/sh\n[ "$2" = venv ] || exit 0\nmkdir -p "$4/bin"\n'
        'printf "#!/bin/sh\\necho no network >&2; exit 1\\n" > "$4/bin/python"\n'
        'chmod +x "$4/bin/python"\n'
    )
    python.chmod(0o755)
    done = call(f"PYTHON={python}; make_environment {tmp_path}/venv")
    assert done.returncode == 3
    *_, cause, said = done.stderr.splitlines()
    assert cause == "no network"
    assert said.startswith("==> pip cannot install the packages of requirements.lock; check the")
