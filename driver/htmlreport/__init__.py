# SPDX-License-Identifier: Apache-2.0
"""A run as one HTML page that needs nothing else, for whoever was not there."""
