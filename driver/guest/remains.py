# SPDX-License-Identifier: Apache-2.0
"""The console of a guest that failed, kept when the directory it ran in goes."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator

from driver.errors import GuestError
from driver.store import Store


@contextlib.contextmanager
def console_kept(store: Store, name: str) -> Iterator[None]:
    """Save the console log that a :class:`GuestError` names, and let the error name the copy.

    The copy is ``<name>.log`` among the store's logs, and the next failure of that name replaces
    it. Wrap this in what removes the directory, not the other way round.
    """
    try:
        yield
    except GuestError as error:
        if error.log is not None and error.log.exists():
            kept = store.scratch("logs") / f"{name}.log"
            # On a full disk the error itself still counts for more than its log.
            with contextlib.suppress(OSError):
                shutil.copyfile(error.log, kept)
                error.log = kept
        raise
