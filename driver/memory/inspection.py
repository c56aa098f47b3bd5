# SPDX-License-Identifier: Apache-2.0
"""Page tables and counters of a guest at one moment, as rows of tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from driver.memory.audit import audit
from driver.memory.page_tables import Walker

if TYPE_CHECKING:
    import drgn

    from driver.memory.physical import Segment


def inspect(program: drgn.Program, ram: Sequence[Segment]) -> dict[str, list[dict[str, Any]]]:
    """The rows of ``tables`` and of ``audit``; numbers and text only, as JSON has them."""
    found = Walker(program).tables()
    return {
        "tables": [
            {
                "pid": table.pid,
                "process": table.process,
                "file": table.file,
                "level": table.level,
                "table": f"{table.address:#x}",
                "entry_at": "" if table.entry is None else f"{table.entry:#x}",
                "start": f"{table.start:#x}",
                "present": table.present,
                "leaves": table.leaves,
                "sharers": len(found.parents.get(table.address, ())),
                "users": "" if table.users is None else table.users,
            }
            for table in found.mapped
        ],
        "audit": [
            {
                "what": one.what,
                "stated": one.stated,
                "found": one.found,
                "difference": abs(one.stated - one.found),
            }
            for one in audit(program, found, ram)
        ],
    }
