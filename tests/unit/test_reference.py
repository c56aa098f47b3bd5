# SPDX-License-Identifier: Apache-2.0
"""The generated pages of docs/reference are Markdown, with nothing of RST left in them."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest

from driver.markdown import NoMarkdown, markdown, row_text
from driver.reference import pages

PAGES = pages()


def lines_outside_code(text: str) -> list[str]:
    """The lines of a page that are no code block, each with its inline code taken out."""
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.S | re.M)
    return [
        re.sub(r"`[^`]*`", "CODE", line)
        for line in prose.splitlines()
        if not line.startswith("    ")
    ]


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize(
    ("what", "pattern"),
    [
        ("a line of punctuation alone", r"^\W+$"),
        ("a role", r":\w+:CODE"),
        ("the end of a sentence before a literal block", r"::$"),
        ("a field or a directive", r"^(\.\. |:\w+:)"),
        ("inline code of RST, or code that is not closed", r"`"),
        ("a rule of an RST table", r"(={3,}\s*)+$"),
    ],
)
def test_nothing_of_rst_is_left(name: str, what: str, pattern: str) -> None:
    # Tables have rules, and the first line of a page says that it is made.
    found = [
        line
        for line in lines_outside_code(PAGES[name])
        if re.search(pattern, line) and not re.fullmatch(r"\|[-|]+\|", line)
    ]
    assert not found, what


@pytest.mark.parametrize("name", PAGES)
def test_blocks_are_separated_by_one_blank_line_and_headings_follow_each_other(name: str) -> None:
    text = PAGES[name]
    assert "\n\n\n" not in re.sub(r"^```.*?^```$", "CODE", text, flags=re.S | re.M)
    assert text.endswith("\n")
    assert not text.endswith("\n\n\n")
    levels = [len(level) for level in re.findall(r"^(#+) ", text, re.M)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


@pytest.mark.parametrize("name", PAGES)
def test_all_rows_of_a_table_have_as_many_cells(name: str) -> None:
    tables = re.findall(r"(?:^\|.*\|\n)+", PAGES[name], re.M)
    assert tables
    for table in tables:
        cells = {len(re.split(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(cells) == 1, table


@pytest.mark.parametrize("name", PAGES)
def test_links_within_a_page_lead_somewhere(name: str) -> None:
    headings = re.findall(r"^#+ (.*)$", PAGES[name], re.M)
    anchors = {re.sub(r"[^a-z0-9 -]", "", heading.lower()) for heading in headings}
    assert set(re.findall(r"\]\(#([^)]*)\)", PAGES[name])) <= anchors


def test_a_docstring_becomes_markdown() -> None:
    text = """``~/file``, :class:`~driver.errors.UserError`, :mod:`driver.text`, *this*, **that**.

    ::

        a block
            deeper

    So::

        another

    - an item
      in two lines
    - a second

    =====  =========
    name   what
    =====  =========
    a      ``x|y``
    b      words
           of it
    =====  =========
    """
    assert markdown(text) == (
        "`~/file`, `UserError`, `driver.text`, *this*, **that**.\n\n"
        "    a block\n        deeper\n\n"
        "So:\n\n"
        "    another\n\n"
        "- an item\n  in two lines\n- a second\n\n"
        "| name | what |\n|---|---|\n| a | `x\\|y` |\n| b | words of it |"
    )
    assert markdown(None) == ""


@pytest.mark.parametrize(
    "text",
    [
        "An ``unclosed literal.",
        "A :nosuchrole:`x`.",
        ".. image:: x.png",
        "Title\n=====\n\nText.",
        "A paragraph\n  indented: odd\n back",
    ],
)
def test_what_would_be_printed_wrongly_is_an_error(text: str) -> None:
    with pytest.raises(NoMarkdown):
        markdown(text)


def test_a_bar_in_a_cell_ends_no_cell() -> None:
    assert row_text(["a|b", r"c\|d"]) == r"| a\|b | c\|d |"
