# SPDX-License-Identifier: Apache-2.0
"""Build kernels, boot them on an emulated NVDIMM, run experiments, keep the evidence.

The package knows how to run kernels and collect counters; it knows no experiment, no patch
series and no guest image by name. Those live in ``experiments/``, ``kernel-patches/`` and
``guest-images/`` of a project directory (see :mod:`driver.project`). :mod:`driver.api` is for
notebooks and scripts.
"""

import lazy_loader as _lazy

# Looking for what is installed takes longer than most commands do without it.
__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
