# SPDX-License-Identifier: Apache-2.0
"""Expressions and templates in ``experiment.toml``: jinja2, sandboxed, strict, checked early.

An expression is a formula over the factors of a trial, the metrics defined before it, and the
sampled numbers, each source being a function: ``meminfo('PageTables', 'touched')`` is the number
of that name at that phase, ``status('VmPTE', 'touched', 0)`` that of the first worker.

What an instrument saw is asked for by table, column and phase, and by what other columns hold:
``observed('page_walks', 'count', 'measured', event='walk', window='cost')`` is the sum of that
column over those rows. A table that the trial has not got is missing, no rows are 0.

An assertion may also ask for what another trial measured: ``elsewhere('cost', sharing='off')`` is
the metric ``cost`` of the trial that differs from this one in that factor and in nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import (
    StrictUndefined,
    Template,
    TemplateError,
    TemplateSyntaxError,
    Undefined,
    UndefinedError,
    nodes,
)
from jinja2.meta import find_undeclared_variables
from jinja2.sandbox import SandboxedEnvironment

from driver.text import as_written

# Names any expression may use. Powers of 1024, and the two functions jinja has only as filters.
CONSTANTS: Mapping[str, Any] = {
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
    "TiB": 1 << 40,
    "min": min,
    "max": max,
}


# The function with which an assertion reaches another trial.
ELSEWHERE = "elsewhere"
# ... and with which any formula reaches the tables of instruments.
OBSERVED = "observed"


class ExpressionError(ValueError):
    """An expression or template that cannot be read, or does not yield what is needed."""


class NoData(LookupError):
    """An expression asks for a number that was not sampled."""


def _environment() -> SandboxedEnvironment:
    environment = SandboxedEnvironment(undefined=StrictUndefined, autoescape=False)
    environment.globals = {}  # no range(), no lipsum(): only what this module gives
    return environment


_ENVIRONMENT = _environment()


@cache
def parse(expression: str) -> nodes.Template:
    """The syntax tree of an expression; raises :class:`ExpressionError`."""
    try:
        _compile(expression)
    except TemplateSyntaxError as error:
        reason = (error.message or "").replace("end of template", "end of expression")
        raise ExpressionError(f"`{expression}`: {reason}") from error
    return _ENVIRONMENT.parse("{{ (" + expression + "\n) }}")


@cache
def parse_template(template: str) -> nodes.Template:
    """The syntax tree of a template; raises :class:`ExpressionError`."""
    try:
        return _ENVIRONMENT.parse(template)
    except TemplateSyntaxError as error:
        raise ExpressionError(f"`{template}`: {error.message}") from error


def names(tree: nodes.Template) -> frozenset[str]:
    """The variables and functions a tree needs from outside, constants left out."""
    return frozenset(find_undeclared_variables(tree)) - CONSTANTS.keys()


@dataclass(frozen=True)
class Call:
    """A call ``name(argument, ..., key=value, ...)``; a value that is no literal is None."""

    name: str
    arguments: list[Any]
    keywords: dict[str, Any]


def calls(tree: nodes.Template) -> list[Call]:
    """Every call of a function by its name, in no particular order."""
    return [
        Call(
            call.node.name,
            [_literal(item) for item in call.args],
            {item.key: _literal(item.value) for item in call.kwargs},
        )
        for call in tree.find_all(nodes.Call)
        if isinstance(call.node, nodes.Name)
    ]


def _literal(node: nodes.Node) -> Any:
    return node.value if isinstance(node, nodes.Const) else None


def evaluate(expression: str, names: Mapping[str, Any]) -> Any:
    """The value of an expression.

    Raises :class:`NoData` if it asks for a number that is not there, :class:`ExpressionError` for
    anything else that goes wrong.
    """
    try:
        value = _compile(expression)(**CONSTANTS, **names)
    except NoData:
        raise
    except (UndefinedError, TypeError, ArithmeticError, ValueError, TemplateError) as error:
        raise ExpressionError(f"`{expression}`: {error}") from error
    if isinstance(value, Undefined):
        raise ExpressionError(f"`{expression}` is undefined")
    return value


def number(expression: str, names: Mapping[str, Any]) -> int | float:
    """The value of an expression that must be a number (and not a truth value)."""
    value = evaluate(expression, names)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ExpressionError(f"`{expression}` is {as_written(value)}, not a number")
    return value


def truth(expression: str, names: Mapping[str, Any]) -> bool:
    """The value of an expression that must be true or false."""
    value = evaluate(expression, names)
    if not isinstance(value, bool):
        raise ExpressionError(f"`{expression}` is {as_written(value)}, neither true nor false")
    return value


def render(template: str, names: Mapping[str, Any]) -> str:
    """A template with the names filled in; raises :class:`ExpressionError`."""
    try:
        return _compile_template(template).render(**CONSTANTS, **names)
    except (TypeError, ValueError, TemplateError) as error:
        raise ExpressionError(f"`{template}`: {error}") from error


@cache
def _compile(expression: str) -> Any:
    return _ENVIRONMENT.compile_expression(expression, undefined_to_none=False)


@cache
def _compile_template(template: str) -> Template:
    return _ENVIRONMENT.from_string(template)
