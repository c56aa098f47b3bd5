# SPDX-License-Identifier: Apache-2.0
"""What the cache holds, as a table."""

from __future__ import annotations

import time
from collections.abc import Sequence

from driver.cli.views import layout
from driver.prune import Entry
from driver.text import binary


def print_artifacts(entries: Sequence[Entry]) -> None:
    """Every artifact and its size, in the order given."""
    table = layout.table()
    for heading in ("last used", "kind", "artifact"):
        table.add_column(heading, no_wrap=True)
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("about", overflow="fold")
    for entry in entries:
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used))
        about = f"{entry.about} (in use)" if entry.busy else entry.about
        table.add_row(used, entry.kind, entry.path.name[:12], binary(entry.size), about)
    layout.console().print(table)
