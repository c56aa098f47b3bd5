# SPDX-License-Identifier: Apache-2.0
"""A guest's memory from outside, with drgn (the optional dependency ``drgn``).

The guest runs no code for it and does not notice: its memory is read from QEMU's, or from a dump.
"""
