# SPDX-License-Identifier: Apache-2.0
"""Build kernels, boot them on an emulated NVDIMM, run experiments, keep the evidence.

The package knows how to run kernels and collect counters; it knows no experiment, no patch
series and no guest image by name. Those live in ``experiments/``, ``kernel-patches/`` and
``guest-images/`` of a project directory (see :mod:`driver.project`).
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("dax-pagetable-driver")
except PackageNotFoundError:  # imported from a checkout that was never installed
    __version__ = "0+unknown"
