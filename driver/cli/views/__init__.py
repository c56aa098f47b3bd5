# SPDX-License-Identifier: Apache-2.0
"""What a person sees of the results, and of a guest, on a terminal.

Each name is loaded when it is first used, as in :mod:`driver.api`: a command that prints no table
does not wait for the library that draws them.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
