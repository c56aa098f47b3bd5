# SPDX-License-Identifier: Apache-2.0
"""What a misspelt name was meant to be."""

from __future__ import annotations

import pytest

from driver.suggestion import closest, did_you_mean

NAMES = ["pagetable-footprint", "five-cases", "fault-saving"]


@pytest.mark.parametrize(
    ("word", "names", "listed", "hint"),
    [
        ("fivecases", NAMES, None, "Did you mean 'five-cases'?"),
        ("xyzzy", NAMES, None, ""),
        ("xyzzy", ["a", "b"], "Possible", "Possible: a, b."),
        ("five-case", ["five-cases"], "Known", "Did you mean 'five-cases'? Known: five-cases."),
        ("anything", [], "Known", "There are none yet."),
        ("anything", [], None, ""),
    ],
)
def test_a_hint_names_what_is_close(
    word: str, names: list[str], listed: str | None, hint: str
) -> None:
    assert did_you_mean(word, names, listed) == hint


def test_how_alike_names_must_be_is_up_to_the_caller() -> None:
    assert closest("saving", NAMES) == ["fault-saving"]
    assert closest("saving", NAMES, alike=0.8) == []
    assert len(closest("a", ["ab", "ac", "ad"], alike=0.4, most=2)) == 2
