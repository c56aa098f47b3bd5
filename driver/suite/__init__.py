# SPDX-License-Identifier: Apache-2.0
"""Test suites: what their output says, case by case, and how two kernels differ in it.

A suite is a folder with a ``suite.toml``: programs to run in a guest, and the format of their
output. Each program runs in a guest of its own, on each kernel, as a trial of a run like any other.
"""
