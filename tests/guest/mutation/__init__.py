# SPDX-License-Identifier: Apache-2.0
"""Does every safeguard of the series have a test that misses it? See README.md."""
