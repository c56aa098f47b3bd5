# SPDX-License-Identifier: Apache-2.0
"""Comparing two runs of one experiment: what changed, and how certain that is."""
