# SPDX-License-Identifier: Apache-2.0
"""Many hosts of a cluster in one process, for measuring what they cost the driver.

``python -m helpers.many_workers ADDRESS FIRST COUNT`` joins that many Dask workers, each with a
connection and an address of its own and one guest at a time, until it is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys

from driver.cluster import connection
from driver.cluster.dask_client import RESOURCE
from helpers import fake_hosts


async def _serve(address: str, first: int, count: int) -> None:
    from distributed import Worker

    async with contextlib.AsyncExitStack() as undo:
        for number in range(first, first + count):
            worker = Worker(
                address,
                name=f"host-{number}",
                nthreads=2,
                resources={RESOURCE: 1},
                memory_limit=0,
                dashboard=False,
                dashboard_address="127.0.0.1:0",
            )
            await undo.enter_async_context(worker)
        fake_hosts.dask_setup(None)
        print("joined", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    connection.configure()
    asyncio.run(_serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
