# SPDX-License-Identifier: Apache-2.0
"""What tests share: fake guests, synthetic runs, fault injection, the pages of the
documentation."""
