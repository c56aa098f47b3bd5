# SPDX-License-Identifier: Apache-2.0
"""What the driver needs of this machine, and how to install what is missing."""

from driver.doctor.examination import examine
from driver.doctor.finding import CheckStatus, Finding

__all__ = ["CheckStatus", "Finding", "examine"]
