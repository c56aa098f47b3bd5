# SPDX-License-Identifier: Apache-2.0
from .examination import examine as examine
from .finding import CheckStatus as CheckStatus
from .finding import Finding as Finding
from .systems import detect as detect
