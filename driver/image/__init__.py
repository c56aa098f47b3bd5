# SPDX-License-Identifier: Apache-2.0
"""From a recipe and workload sources to an initramfs artifact."""
