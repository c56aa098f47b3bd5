# SPDX-License-Identifier: Apache-2.0
"""The version of the driver, as it was installed."""

from importlib.metadata import PackageNotFoundError, version

__all__ = ["__version__"]

try:
    __version__ = version("dax-pagetable-driver")
except PackageNotFoundError:  # imported from a checkout that was never installed
    __version__ = "0+unknown"
