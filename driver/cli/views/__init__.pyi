# SPDX-License-Identifier: Apache-2.0
# What driver.cli.views exports, and where it is: see driver/api/__init__.pyi.
from .artifacts import print_artifacts as print_artifacts
from .comparison import comparison_table as comparison_table
from .comparison import conditions_met as conditions_met
from .debugger import how_to_debug as how_to_debug
from .doctor import print_findings as print_findings
from .doctor import remedy as remedy
from .functions import function_changes as function_changes
from .functions import function_changes_csv as function_changes_csv
from .keep import attend as attend
from .keep import check_terminal as check_terminal
from .kernels import print_kernels as print_kernels
from .layout import console as console
from .listing import print_experiments as print_experiments
from .listing import print_runs as print_runs
from .plan import print_plan as print_plan
from .repeatability import check_repeatability as check_repeatability
from .shell import attach_console as attach_console
from .shell import on_console as on_console
from .shell import over_ssh as over_ssh
from .suite import suite_table as suite_table
from .summary import summary as summary
from .trials import print_output as print_output
from .trials import print_trial as print_trial
from .trials import print_trials as print_trials
