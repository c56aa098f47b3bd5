# SPDX-License-Identifier: Apache-2.0
from .version import __version__ as __version__
