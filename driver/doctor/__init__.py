# SPDX-License-Identifier: Apache-2.0
"""What this machine lacks before it can do all the driver does, and how to get it."""

from driver.doctor.examination import examine
from driver.doctor.finding import CheckStatus, Finding

__all__ = ["CheckStatus", "Finding", "examine"]
