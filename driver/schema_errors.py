# SPDX-License-Identifier: Apache-2.0
"""What pydantic refuses, in the words of the person who wrote it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from driver.text import as_written

if TYPE_CHECKING:
    from pydantic import ValidationError

# Models hold tuples and mappings; a person writes lists and tables.
_WORDS = (
    (r"^Value error, ", ""),
    (r"^Field required$", "it is missing"),
    (r"^Extra inputs are not permitted$", "unknown key"),
    (r"^Invalid JSON: ", "it is not JSON: "),
    (r"^Input should be a valid (tuple|list|array)$", "it should be a list"),
    (r"^Input should be (a valid dictionary|an object).*$", "it should be a table"),
    (r"^Input should be a valid string$|^Input is not a valid path.*$", "it should be text"),
    (r"^Input should be a valid boolean.*$", "it should be true or false"),
    (r"^Input should be a valid integer.*$", "it should be an integer"),
    (r"^Input should be a (valid|finite) number.*$", "it should be a number"),
    (r"^Input should be ", "it should be "),
    (r"\bgreater than or equal to\b", "at least"),
    (r"\bless than or equal to\b", "at most"),
    (r"^(String|Tuple|List|Dictionary) should ", "it should "),
    (r" after validation, not (\d+)$", r", not \1"),
)


def in_words(message: str) -> str:
    """One message of pydantic without its own terms."""
    for pattern, words in _WORDS:
        message = re.sub(pattern, words, message)
    return message


def problems(error: ValidationError, most: int = 1) -> str:
    """The first ``most`` mistakes, each ``KEY: MESSAGE``: ``attempts.0.verdict: it is missing``."""
    return "; ".join(
        ": ".join(filter(None, (key_text(item["loc"]), in_words(item["msg"]))))
        for item in error.errors(include_url=False)[:most]
    )


def key_text(key: Iterable[object]) -> str:
    """A path of keys as a person would look for it: ``attempts.0.verdict``."""
    return ".".join(map(str, key))


def impossible(value: object) -> str:
    """The sentence for a value that is none of those that are allowed."""
    return f"{as_written(value)} is not possible"
