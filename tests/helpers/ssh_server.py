# SPDX-License-Identifier: Apache-2.0
"""An SSH server on the loopback that runs what it is asked to, as sshd would for this user.

``python -m helpers.ssh_server FOLDER ADDRESS...`` listens on a port of its own choice, the same on
all addresses, and writes what a client needs into ``FOLDER/.ssh``: keys, known_hosts, and the port.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncssh


async def execute(session: asyncssh.SSHServerProcess[bytes]) -> None:
    """Run one command line; who leaves takes it along."""
    child = await asyncio.create_subprocess_shell(
        session.command or "true",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        await session.redirect(stdin=child.stdin, stdout=child.stdout, stderr=child.stderr)
        ended = asyncio.ensure_future(child.wait())
        gone = asyncio.ensure_future(session.channel.wait_closed())
        await asyncio.wait({ended, gone}, return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            session.exit(ended.result())
    finally:
        if child.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGTERM)
            await child.wait()


async def serve(folder: Path, addresses: list[str]) -> None:
    ssh = folder / ".ssh"
    ssh.mkdir(mode=0o700)
    host, user = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    user.write_private_key(ssh / "id_ed25519")
    (ssh / "authorized_keys").write_bytes(user.export_public_key())
    options: dict[str, Any] = {
        "server_host_keys": [host],
        "authorized_client_keys": str(ssh / "authorized_keys"),
        "process_factory": execute,
        "encoding": None,
    }
    first, *others = addresses
    listening = [await asyncssh.listen(first, 0, **options)]
    port = listening[0].get_port()
    listening += [await asyncssh.listen(address, port, **options) for address in others]
    public = host.export_public_key().decode()
    known = "".join(f"[{address}]:{port} {public}" for address in addresses)
    (ssh / "known_hosts").write_text(known)
    (ssh / "port").write_text(str(port))
    await asyncio.gather(*(each.wait_closed() for each in listening))


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), sys.argv[2:]))
