# SPDX-License-Identifier: Apache-2.0
"""From a source, a patch series and a configuration to a kernel artifact."""

from driver.kernel.build import build_kernel

__all__ = ["build_kernel"]
