# SPDX-License-Identifier: Apache-2.0
"""One module per source of counters; adding a source means adding one module here."""
