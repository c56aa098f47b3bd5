# SPDX-License-Identifier: Apache-2.0
"""What the driver needs of this machine, and how to install what is missing.

Loaded when first used, as :mod:`driver.api` is: ``driver --help`` examines nothing.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
