# SPDX-License-Identifier: Apache-2.0
"""Which instruments the QEMU of this host can run, and whether guests can be looked into."""

from __future__ import annotations

from collections.abc import Iterator

from driver.doctor.finding import CheckStatus, Finding, everywhere
from driver.errors import DriverError
from driver.guest.template_recipe import qemu_version
from driver.instruments import instruments
from driver.instruments.plugin import demand_interface

_AREA, _PURPOSE = "instruments", "watching guests"
_INSTALL_DRGN = "pip install 'dax-pagetable-driver[drgn]'"


def examine_instruments() -> list[Finding]:
    """What each instrument would say; never raises."""
    return [*_plugins(), _drgn()]


def _plugins() -> Iterator[Finding]:
    for name, instrument in instruments().items():
        try:
            demand_interface(instrument)
            found = qemu_version().removeprefix("QEMU emulator version ")
        except DriverError as error:
            hint = {} if error.hint is None else everywhere(f"# {error.hint}")
            yield Finding(_AREA, name, CheckStatus.NOTE, error.message, _PURPOSE, hint)
        else:
            yield Finding(_AREA, name, CheckStatus.OK, f"QEMU {found}", _PURPOSE)


def _drgn() -> Finding:
    purpose = "`page-tables`, `driver inspect`, `driver debug`"
    try:
        import drgn  # noqa: PLC0415  (optional)
    except ImportError:
        remedy = everywhere(_INSTALL_DRGN)
        return Finding(_AREA, "drgn", CheckStatus.NOTE, "not found", purpose, remedy)
    return Finding(_AREA, "drgn", CheckStatus.OK, drgn.__version__, purpose)
