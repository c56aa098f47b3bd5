# SPDX-License-Identifier: Apache-2.0
"""QEMU guests: boot, save as templates, fork, give jobs, diagnose, end."""
