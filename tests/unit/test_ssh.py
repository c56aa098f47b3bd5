# SPDX-License-Identifier: Apache-2.0
"""Getting into a guest whose SSH server is not up yet, is not there, or is somebody else's."""

from __future__ import annotations

import base64
import io
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import paramiko
import pytest
from paramiko.common import AUTH_FAILED, AUTH_SUCCESSFUL

from driver.deadline import Deadline
from driver.errors import GuestLost, GuestTimeout
from driver.guest.ssh import HOST, Ssh
from driver.guest.ssh_keys import Keys, Login


class Door(paramiko.ServerInterface):
    """Accepts the user's key only."""

    def __init__(self, user: paramiko.PKey) -> None:
        self._user = user

    def get_allowed_auths(self, _username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, _username: str, key: paramiko.PKey) -> int:
        return AUTH_SUCCESSFUL if key.asbytes() == self._user.asbytes() else AUTH_FAILED


def private(keys: Keys) -> paramiko.Ed25519Key:
    return paramiko.Ed25519Key.from_private_key(io.StringIO(keys.login))


@dataclass
class Server:
    """A port of this host behind which a server is; the first ``silent`` connections reach nobody.

    So it looks from here when QEMU has accepted a connection and the guest's network is not up.
    """

    silent: int = 0
    user: Keys = field(default_factory=Keys.generate)
    host: Keys = field(default_factory=Keys.generate)
    accepted: int = 0

    @property
    def login(self) -> Login:
        host_key = base64.b64encode(private(self.host).asbytes()).decode()
        return Login(self.user.login, host_key)

    @contextmanager
    def listening(self) -> Iterator[int]:
        with socket.create_server((HOST, 0)) as listener:
            thread = threading.Thread(target=self._serve, args=(listener,), daemon=True)
            thread.start()
            yield listener.getsockname()[1]
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()

    def _serve(self, listener: socket.socket) -> None:
        open_ones: list[socket.socket | paramiko.Transport] = []
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                break
            self.accepted += 1
            open_ones.append(connection)
            if self.accepted > self.silent:
                transport = paramiko.Transport(connection)
                open_ones.append(transport)
                transport.add_server_key(private(self.host))
                transport.start_server(threading.Event(), Door(private(self.user)))
        for one in reversed(open_ones):
            one.close()


def soon(seconds: float = 30) -> Deadline:
    return Deadline.after(seconds, "the SSH server of the guest")


@contextmanager
def nobody() -> Iterator[int]:
    """A port that refuses connections, because it is somebody's who does not listen."""
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        yield taken.getsockname()[1]


@pytest.mark.parametrize("silent", [0, 2])
def test_a_connection_that_reaches_nobody_is_given_up_for_another(silent: int) -> None:
    server = Server(silent)
    began = time.monotonic()
    with server.listening() as port, Ssh(port, server.login, soon()):
        assert server.accepted == silent + 1
    assert time.monotonic() - began < 15


def test_a_server_that_never_answers_meets_the_deadline() -> None:
    server = Server(silent=1000)
    with server.listening() as port, pytest.raises(GuestTimeout, match="did not answer within 1 s"):
        Ssh(port, server.login, soon(1))
    assert server.accepted > 1


def test_a_port_that_refuses_is_tried_until_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often that is: in two minutes it is more than a thousand times."""
    tries: list[float] = []
    monkeypatch.setattr("driver.guest.ssh.time.sleep", tries.append)
    with nobody() as port, pytest.raises(GuestTimeout, match="did not answer"):
        Ssh(port, Server().login, soon(2))
    assert len(tries) > 1024


def test_there_is_no_waiting_for_a_guest_that_has_died() -> None:
    def look() -> None:
        raise GuestLost("QEMU ended")

    with nobody() as port, pytest.raises(GuestLost, match="QEMU ended"):
        Ssh(port, Server().login, soon(), check_alive=look)


def test_another_server_is_not_trusted() -> None:
    server = Server()
    with server.listening() as port, pytest.raises(GuestLost, match="another host key"):
        Ssh(port, Server(user=server.user).login, soon())
