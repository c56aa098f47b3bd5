# SPDX-License-Identifier: Apache-2.0
"""A run as one self-contained HTML page."""
