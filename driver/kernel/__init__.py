# SPDX-License-Identifier: Apache-2.0
"""From a source, a patch series and a configuration to a kernel artifact."""
