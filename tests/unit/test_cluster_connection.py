# SPDX-License-Identifier: Apache-2.0
"""Who may connect to a cluster, and what is said to those who may not."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from helpers.command_line import status_of

from driver.cluster import connection
from driver.cluster.keys import make_keys
from driver.errors import HostError, UserError

pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys") / "cluster"
    make_keys(folder)
    return folder


def ask(address: str, *, keys: Path | None = None, insecure: bool = False) -> tuple[object, str]:
    said: list[str] = []
    found = connection.security(
        address, role="driver", keys=keys, insecure=insecure, notify=said.append
    )
    return found, " ".join(said)


def test_keys_are_for_their_owner_only(keys: Path) -> None:
    assert sorted(path.name for path in keys.iterdir()) == [
        "ca-key.pem", "ca.pem", "driver.pem", "scheduler.pem", "worker.pem",
    ]  # fmt: skip
    assert {path.stat().st_mode & 0o777 for path in keys.iterdir()} == {0o600}
    with pytest.raises(UserError, match="already holds keys"):
        make_keys(keys)


def test_certificates_bear_clocks_that_differ(keys: Path) -> None:
    from cryptography import x509

    now = datetime.datetime.now(datetime.UTC)
    for role in ("ca", "driver", "worker"):
        found = x509.load_pem_x509_certificate((keys / f"{role}.pem").read_bytes())
        assert found.not_valid_before_utc < now - datetime.timedelta(days=2)
        assert found.not_valid_after_utc > now + datetime.timedelta(days=365)


def test_plain_tcp_is_for_the_loopback(keys: Path) -> None:
    assert ask("tcp://127.0.0.1:8786") == (None, "")
    assert ask("tcp://[::1]:8786") == (None, "")
    with pytest.raises(UserError, match="anybody who reaches") as refused:
        ask("tcp://192.0.2.1:8786")
    assert "--insecure" in (refused.value.hint or "")
    found, warning = ask("tcp://192.0.2.1:8786", insecure=True)
    assert found is None
    assert "is not protected" in warning
    with pytest.raises(UserError, match="anybody who reaches"):
        ask("tcp://0.0.0.0:8786")


def test_tls_needs_keys_and_keys_need_tls(keys: Path, tmp_path: Path) -> None:
    found, warning = ask("tls://192.0.2.1:8786", keys=keys)
    assert getattr(found, "require_encryption", None) is True
    assert not warning
    with pytest.raises(UserError, match="needs keys"):
        ask("tls://192.0.2.1:8786")
    with pytest.raises(UserError, match="would not use the keys"):
        ask("tcp://127.0.0.1:8786", keys=keys)
    with pytest.raises(UserError, match="is missing or not readable"):
        ask("tls://192.0.2.1:8786", keys=tmp_path)


@pytest.mark.parametrize(
    "address", ["", "host", "host:8786", "http://host:1", "tcp://h:port", "tcp:///"]
)
def test_an_address_that_is_none(address: str) -> None:
    with pytest.raises(UserError, match="is not the address of a scheduler"):
        connection.parse(address)


def test_a_host_that_nobody_knows() -> None:
    with pytest.raises(HostError, match="there is no host called"):
        ask("tcp://no-such-host.invalid:8786")


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["worker", "tcp://192.0.2.1:8786"], 2, "--insecure"),
        (["worker", "tls://192.0.2.1:8786"], 2, "--keys DIR"),
        (["worker", "192.0.2.1"], 2, "is not the address of a scheduler"),
        (["cluster", "scheduler", "--host", "0.0.0.0"], 2, "--insecure"),
        (["run", "--cluster", "local:2"], 2, "needs --resume"),
        (["run", "experiment", "five-cases", "--keys", "x"], 2, "goes with --cluster"),
    ],
)
def test_a_mistake_is_one_message(  # noqa: PLR0917
    arguments: list[str],
    status: int,
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("DRIVER_CACHE", str(tmp_path))
    assert status_of(*arguments) == status
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said
