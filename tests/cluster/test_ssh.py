# SPDX-License-Identifier: Apache-2.0
"""``--cluster ssh:FILE``: Dask starts a scheduler and workers through a real SSH server."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.cluster_bed import EXPERIMENT, ClusterBed, rows_of
from helpers.fault_injection import processes_of, until
from helpers.synthetic_runs import FakeGuestRun

pytest.importorskip("distributed")
pytest.importorskip("asyncssh")

HOSTS = ["127.0.0.1", "127.0.0.2"]
PLAN = ["--only", "processes=1,4", "--only", "gib=1", "--repeat", "2"]


class SshBed(ClusterBed):
    """A cluster bed whose machines are this one's loopback addresses, with an SSH server."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.network:  # the server is on the loopback of this machine
            self.network.close()
            self.network = None
        home = self.root / "hub/home"
        home.mkdir(parents=True)
        self.server = self.start("there", "helpers.ssh_server", [str(home), *HOSTS])
        port = home / ".ssh/port"
        until(lambda: port.exists() and port.read_text(), "the SSH server listens")
        self.ssh_port = int(port.read_text())

    def hosts_file(self, **more: object) -> Path:
        path = self.root / "hosts.toml"
        lines = {
            "hosts": HOSTS, "python": sys.executable, "guests": 2, "port": self.ssh_port, **more
        }  # fmt: skip
        path.write_text("".join(f"{key} = {value!r}\n" for key, value in lines.items()))
        return path

    def run(self, *arguments: str) -> tuple[int, str]:
        words = ["run", "experiment", EXPERIMENT, "--accel", "tcg", *PLAN, *arguments]
        driver = self.start("hub", "helpers.fake_driver", words)
        return driver.status(), driver.said()

    def close(self) -> None:
        self.server.end()
        super().close()


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[SshBed]:
    made = SshBed(tmp_path / "bed")
    yield made
    made.close()


@pytest.mark.slow
@pytest.mark.parametrize("keys", [False, True], ids=["tcp", "tls"])
def test_hosts_are_started_by_ssh_and_ended(bed: SshBed, tmp_path: Path, keys: bool) -> None:
    bed.set_pace(0.2)
    path = bed.hosts_file(**({"keys": str(bed.keys)} if keys else {}))
    status, said = bed.run("--cluster", f"ssh:{path}", *(["--keys", str(bed.keys)] * keys))
    assert status == 0, said
    alone = FakeGuestRun(tmp_path / "alone", only={"processes": ["1", "4"], "gib": ["1"]}, repeat=2)
    assert bed.rows() == rows_of(alone.run().directory.path)
    hosts = {line["host"] for line in bed.journal() if line["event"] == "taken"}
    assert len(hosts) == len(HOSTS), "both did something"
    until(lambda: not workers(bed), "no worker and no scheduler is left")


def test_a_host_that_lets_nobody_in(bed: SshBed) -> None:
    (bed.root / "hub/home/.ssh/authorized_keys").write_text("")
    status, said = bed.run("--cluster", f"ssh:{bed.hosts_file()}")
    assert status == 3, said
    assert f"cannot start the hosts of {bed.root}/hosts.toml by SSH" in said
    assert "ssh -p" in said


def workers(bed: SshBed) -> dict[int, str]:
    """What Dask has started on the hosts."""
    return {
        pid: words for pid, words in processes_of(bed.root).items() if "distributed.cli" in words
    }
