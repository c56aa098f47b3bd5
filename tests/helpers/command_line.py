# SPDX-License-Identifier: Apache-2.0
"""The ``driver`` command, called in this process."""

from __future__ import annotations

import pytest

from driver.cli.main import main


def status_of(*arguments: str) -> int:
    """The exit status of the driver with these arguments; what it prints is for ``capsys``."""
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert isinstance(left.value.code, int)
    return left.value.code
