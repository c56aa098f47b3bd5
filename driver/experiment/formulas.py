# SPDX-License-Identifier: Apache-2.0
"""What the expressions of an experiment are made of."""

from __future__ import annotations

from collections.abc import Iterator

from driver.experiment import expression
from driver.experiment.definition import Experiment


def is_measured(experiment: Experiment, text: str) -> bool:
    """Whether anything sampled goes into an expression; else it is theory."""
    return any(
        is_measured(experiment, experiment.metrics[name].value)
        if name in experiment.metrics
        else name not in experiment.factors
        for name in expression.names(expression.parse(text))
    )


def ingredients(experiment: Experiment, text: str) -> Iterator[str]:
    """The formulas of the metrics an expression is made of, all the way down."""
    tree = expression.parse(text)
    used = set(expression.names(tree))
    used |= {
        str(call.arguments[0])
        for call in expression.calls(tree)
        if call.name == expression.ELSEWHERE and call.arguments
    }
    for name in sorted(used):
        if name in experiment.metrics:
            value = experiment.metrics[name].value
            yield f"{name} = {value}"
            yield from ingredients(experiment, value)
