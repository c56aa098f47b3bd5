# SPDX-License-Identifier: Apache-2.0
"""From a recipe and workload sources to an initramfs artifact."""

from driver.image.builder import build_image, check_image
from driver.image.programs import build_programs

__all__ = ["build_image", "build_programs", "check_image"]
