# SPDX-License-Identifier: Apache-2.0
"""The command line: it parses, calls :mod:`driver.api`, and prints."""
