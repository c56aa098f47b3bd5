# SPDX-License-Identifier: Apache-2.0
"""``driver repeatability``: do trials repeat to the byte, and what does that cost?"""

from __future__ import annotations

from typing import Annotated

import typer

from driver import api
from driver.cli import complete, context, views


def repeatability(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN...",
            help="Runs of one experiment; `latest` is the newest.",
            autocompletion=complete.runs,
        ),
    ],
) -> None:
    """Check whether repeated trials gave identical results.

    Trials with the same factors are compared, within a run and across runs. Under --accel icount
    their digests and counts must be identical, whatever the load of the host; exits with 1 if they
    are not. Trials of other accelerators are counted as well. Add a run with --accel tcg to see how
    much slower trials under icount are.
    """
    place = context.workspace_of(*names)
    # A run may be given by its name and as `latest`.
    found = dict.fromkeys(api.find_run(name, workspace=place) for name in names)
    views.check_repeatability(list(found))


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("repeatability")(repeatability)
