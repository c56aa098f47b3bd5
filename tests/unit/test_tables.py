# SPDX-License-Identifier: Apache-2.0
"""Tables on a page that a notebook makes: what pandas writes, made plain."""

from __future__ import annotations

import pandas as pd
from bs4 import BeautifulSoup

from analysis.tables import tidied


def rows(html: str) -> list[list[str]]:
    """Every row of a page as the texts of its cells; those set as numbers in brackets."""
    return [
        [
            f"[{cell.text}]" if cell.get("class") == ["n"] else cell.text
            for cell in row(["td", "th"])
        ]
        for row in BeautifulSoup(html, "html.parser")("tr")
    ]


def test_what_is_a_number_is_set_as_one() -> None:
    frame = pd.DataFrame(
        {
            "entries": ["2 MiB", "4 KiB"],
            "kernel": ["baseline", "patched"],
            "bytes": ["4,096", "\u22121.5 KiB"],
            "change": ["", "3 to 5 %"],
            "version": ["6.12", "6.12-rc1"],
        }
    )
    assert rows(tidied(frame.style.hide(axis="index").to_html())) == [
        ["entries", "kernel", "[bytes]", "[change]", "version"],
        ["2 MiB", "baseline", "[4,096]", "[]", "6.12"],
        ["4 KiB", "patched", "[\u22121.5 KiB]", "[3 to 5 %]", "6.12-rc1"],
    ]


def test_cells_that_reach_down_move_their_neighbours() -> None:
    index = pd.MultiIndex.from_product([["2M", "4K"], [1, 8]], names=["entry", "processes"])
    frame = pd.DataFrame({"arm": ["one", "two"] * 2, "saved": ["1 B", "2 B"] * 2}, index=index)
    assert rows(tidied(frame.to_html())) == [
        ["entry", "[processes]", "arm", "[saved]"],
        ["2M", "[1]", "one", "[1 B]"],
        ["[8]", "two", "[2 B]"],
        ["4K", "[1]", "one", "[1 B]"],
        ["[8]", "two", "[2 B]"],
    ]


def test_headings_of_two_levels_stay_above_their_columns() -> None:
    columns = pd.MultiIndex.from_product([["off", "on"], ["2M", "4K"]], names=["sharing", "entry"])
    frame = pd.DataFrame([[1, 2, 3, 4]], index=pd.Index([8], name="processes"), columns=columns)
    assert rows(tidied(frame.to_html())) == [
        ["sharing", "[off]", "[on]"],
        ["entry", "[2M]", "[4K]", "[2M]", "[4K]"],
        ["processes", "[]", "[]", "[]", "[]"],
        ["8", "[1]", "[2]", "[3]", "[4]"],
    ]


def test_nothing_of_the_look_of_pandas_is_left() -> None:
    frame = pd.DataFrame({"a": [1]})
    html = tidied(f"<p style='color: red'>{frame.to_html()}{frame.style.to_html()}")
    assert html.count("style=") == 1
    assert "border=" not in html
    assert "<style" not in html
    assert html.count('<div class="wide">') == 2
