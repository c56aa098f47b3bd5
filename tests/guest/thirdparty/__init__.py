# SPDX-License-Identifier: Apache-2.0
"""Programs that others wrote to test memory management, run by hand. See README.md."""
