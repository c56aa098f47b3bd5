# SPDX-License-Identifier: Apache-2.0
"""QEMU guests: start, talk to, watch, fork, end."""
