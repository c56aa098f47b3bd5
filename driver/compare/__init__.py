# SPDX-License-Identifier: Apache-2.0
"""Two runs of one experiment beside each other: what changed, and how sure that is."""
