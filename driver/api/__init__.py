# SPDX-License-Identifier: Apache-2.0
"""The driver from Python: build, boot, run, read, compare. For notebooks and scripts.

The command line is a thin layer over this package, and everything it does can be done here::

    from driver import api

    before = api.run_experiment("five-cases", accel="icount")
    after = api.run_experiment("five-cases", accel="icount", source="~/linux")
    print(api.compare_runs(before, after).count("changed"))

Functions that need a project, a cache or a place to report progress take a :class:`Workspace`;
without one they work in the project around the current directory, with the user's cache, in
silence. All of them raise what :mod:`driver.errors` lists: :class:`~driver.errors.UserError` for a
request that cannot be met, :class:`~driver.errors.HostError` for this machine,
:class:`~driver.errors.GuestError` for a guest.

What is exported is in ``__init__.pyi``. Each name is loaded when it is first used (PEP 562), so
that ``import driver.api`` costs a script nothing that it does not use.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
