# SPDX-License-Identifier: Apache-2.0
"""Docstrings as Markdown: docutils reads the reStructuredText, which it knows, and this prints it.

Only what docstrings of this project hold is known; anything else is an error, so that nothing is
printed as it must not be. docutils is a dependency of development.
"""

from __future__ import annotations

import inspect
import re
import textwrap

from docutils import nodes
from docutils.core import publish_doctree
from docutils.parsers.rst import roles

# Roles that name a piece of code; a leading ~ leaves the path to it away.
_ROLES = ("attr", "class", "data", "exc", "func", "meth", "mod")
# Complain from warnings (2) on, and by an exception instead of a line in the output.
_SETTINGS = {"report_level": 2, "halt_level": 2, "warning_stream": False}


class NoMarkdown(ValueError):
    """A docstring holds what has no counterpart here."""


def markdown(docstring: str | None) -> str:
    """A docstring as Markdown; raises :class:`NoMarkdown` for what is not reStructuredText."""
    text = inspect.cleandoc(docstring or "")
    if not text:
        return ""
    try:
        document = publish_doctree(text, settings_overrides=_SETTINGS)
    except Exception as error:  # docutils' own class is not one of its stable names
        raise NoMarkdown(f"{error}: {text.splitlines()[0]}") from error
    return _blocks(document)


for _role in _ROLES:
    role = roles.GenericRole(_role, nodes.literal)
    # The stub knows only roles that make references.
    roles.register_local_role(_role, role)  # type: ignore[arg-type]


def _blocks(parent: nodes.Element) -> str:
    return "\n\n".join(_block(node) for node in parent.children)


def _block(node: nodes.Node) -> str:
    """A paragraph, a block of code, a list or a table."""
    if isinstance(node, nodes.paragraph):
        return _inline(node)
    if isinstance(node, nodes.literal_block):
        return textwrap.indent(node.astext(), "    ")
    if isinstance(node, nodes.bullet_list):
        return "\n".join(_item(item) for item in node.children)
    if isinstance(node, nodes.table):
        return _table(node)
    raise NoMarkdown(f"{node.__class__.__name__}: {node.astext()[:60]}")


def _item(node: nodes.Node) -> str:
    assert isinstance(node, nodes.list_item)
    return "- " + textwrap.indent(_blocks(node), "  ").lstrip()


def _table(node: nodes.table) -> str:
    rows = [
        [" ".join(_blocks(entry).split()) for entry in row.findall(nodes.entry)]
        for row in node.findall(nodes.row)
    ]
    headed = next(iter(node.findall(nodes.thead)), None) is not None
    heading = rows.pop(0) if headed else [""] * len(rows[0])
    return "\n".join([row_text(heading), "|---" * len(heading) + "|", *map(row_text, rows)])


def row_text(cells: list[str]) -> str:
    """A row of a table; a bar inside a cell would end it."""
    return "| " + " | ".join(re.sub(r"(?<!\\)\|", r"\\|", cell) for cell in cells) + " |"


def _inline(parent: nodes.Element) -> str:
    return "".join(map(_span, parent.children))


def _span(node: nodes.Node) -> str:
    if isinstance(node, nodes.literal | nodes.title_reference):
        text = node.astext()
        named = node.rawsource.startswith(":") and text.startswith("~")
        return f"`{text.rpartition('.')[2] if named else text}`"
    if isinstance(node, nodes.emphasis):
        return f"*{_inline(node)}*"
    if isinstance(node, nodes.strong):
        return f"**{_inline(node)}**"
    if isinstance(node, nodes.reference):
        return node.astext()
    if isinstance(node, nodes.Text):
        return node.astext()
    raise NoMarkdown(f"{node.__class__.__name__}: {node.astext()[:60]}")
