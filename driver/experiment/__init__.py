# SPDX-License-Identifier: Apache-2.0
"""Experiments: definition, plan, runner."""
