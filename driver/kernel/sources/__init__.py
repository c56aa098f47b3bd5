# SPDX-License-Identifier: Apache-2.0
"""Kernel sources: Debian packages, tarballs, directories and checkouts, and their cache."""
