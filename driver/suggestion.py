# SPDX-License-Identifier: Apache-2.0
"""Did you mean ...? What a misspelt name was probably meant to be."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

# How alike two names must be, from 0 to 1, for one to be taken for the other: difflib's default.
_ALIKE = 0.6


def closest(word: str, known: Iterable[str], *, alike: float = _ALIKE, most: int = 1) -> list[str]:
    """At most ``most`` known names that are at least ``alike``, the closest first."""
    return difflib.get_close_matches(word, list(known), n=most, cutoff=alike)


def did_you_mean(word: str, known: Iterable[str], listed: str | None = "Possible") -> str:
    """A hint for a name that is not known: ``Did you mean 'a'? Possible: a, b.``

    ``listed`` introduces the list of all names; None leaves the list out. Empty if nothing is
    close and nothing is listed.
    """
    names = list(known)
    close = closest(word, names)
    sentences = [f"Did you mean {close[0]!r}?"] if close else []
    if listed is not None:
        sentences.append(f"{listed}: {', '.join(names)}." if names else "There are none yet.")
    return " ".join(sentences)
