# SPDX-License-Identifier: Apache-2.0
"""TOML files that people write: the right line for every key, and one message for a mistake."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field

from driver.errors import UserError
from driver.toml_positions import KeyPath, key_lines, nearest
from driver.tomlfile import read

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(
    path
    for folder in ("experiments", "guest-images", "kernel-patches", "tests")
    for path in (ROOT / folder).rglob("*.toml")
)

# `@` becomes the number of the line that it is on.
_TRICKY = """\
a = @ # three quotes in a comment: \"\"\" and '''
b = @
"c # no comment" = @ # c = 0
'd = "' = @
e.f . "g.h" = @
i = { j = @, k = { l = @, "m]" = @ }, n = [@, @] } # [n]
text = \"\"\"
[not.a.table]
b = 0 \\\"\"\" still inside
''' \"\"\"
o = @
literal = '''
\"\"\"
[[nor.an.array]]
four = "'''' # the fourth belongs to it
p = @
q = [ # "[
  @,
  [@, [@]], # nested
  ["s", "t = 0"],
  { r = @, s = [
      @] },
]
u = @ \t
[v] # [w]
w = @
[ x . "y.z" ]
zz = @
[[t]]
k = @
[[t]]
k = @
sub.key = @
[t.s]
k = @
[[t.l]]
k = @
["quoted \\u00e9 key"]
k = @
"" = @
quotes = \"\"\"ends with two\"\"\"\"\"
r = @
empty = \"\"\"\"\"\"
none = ''
last = @"""
TRICKY = "\n".join(
    line.replace("@", str(number)) for number, line in enumerate(_TRICKY.split("\n"), start=1)
)


def line_of(start: str, nth: int = 0) -> int:
    """The number of the nth line that begins like this."""
    found = [n for n, line in enumerate(TRICKY.split("\n"), start=1) if line.startswith(start)]
    return found[nth]


def numbers(value: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, int]]:
    """All integers of a document, by their paths."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from numbers(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from numbers(item, (*path, index))
    elif isinstance(value, int):
        yield path, value


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_every_key_has_its_line(ending: str) -> None:
    text = TRICKY.replace("\n", ending)
    lines = key_lines(text)
    found = dict(numbers(tomllib.loads(text)))
    assert len(found) == 29
    assert {path: lines[path] for path in found} == found


def test_a_table_has_the_line_of_its_header_or_first_mention() -> None:
    lines = key_lines(TRICKY)
    assert lines[("v",)] == line_of("[v]")
    assert lines[("x",)] == lines[("x", "y.z")] == line_of("[ x")
    first, second = line_of("[[t]]"), line_of("[[t]]", 1)
    assert (lines[("t",)], lines[("t", 0)], lines[("t", 1)]) == (first, first, second)
    assert (lines[("t", 1, "s")], lines[("t", 1, "l", 0)]) == (line_of("[t.s]"), line_of("[[t.l]]"))
    assert (lines[("e",)], lines[("e", "f")]) == (5, 5)
    assert lines[("text",)] == line_of("text")


def test_what_has_no_line_takes_that_of_what_holds_it() -> None:
    lines = key_lines(TRICKY)
    assert nearest(lines, ("t", 1, "s", "absent")) == line_of("[t.s]")
    assert nearest(lines, ("q", 3, "absent")) == line_of("  { r")
    assert nearest(lines, ("absent",)) is None
    assert nearest(lines, ()) is None


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_of_the_project_has_a_line_for_every_value(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    lines = key_lines(text)
    source = text.splitlines()

    def check(value: Any, place: KeyPath) -> None:
        if place and isinstance(place[-1], str):
            assert place[-1] in source[lines[place] - 1], place
        if isinstance(value, dict):
            for key, item in value.items():
                check(item, (*place, key))
        elif isinstance(value, list):
            for index, item in enumerate(value):
                assert (*place, index) in lines
                check(item, (*place, index))

    check(tomllib.loads(text), ())


def test_a_file_of_a_megabyte_takes_no_time() -> None:
    text = 'k = """' + "'\\\\" * 200_000 + '"""\n' + "[[t]]\nk = '#'\n" * 20_000 + "end = 1"
    assert key_lines(text)[("t", 19_999, "end")] == 40_002


@pytest.mark.parametrize("text", ["a = [1", "a = {", "a", "[", "a = '\n", "a = ]", '"'])
def test_what_is_no_toml_ends_too(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  (any: it is read only when tomllib has read it)
        list(key_lines(text + "\n[")) if text == "a = ]" else key_lines(text)


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")

    size: int = Field(1, alias="the-size")


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    inner: list[Inner] = []
    tables: dict[str, Inner] = {}


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("name = 1", ":1: name: it should be text", "files.md"),
        ("nam = 'x'", ":1: nam: unknown key 'nam'", "Did you mean 'name'?"),
        ("#\ninner = []", ": the key 'name' is missing", "files.md"),
        (
            "name = 'x'\n# '''\n[[inner]]\n[[inner]]\nthe-sise = 1",
            ":5: inner.1.the-sise: unknown key 'the-sise'",
            "Did you mean 'the-size'? Possible here: the-size.",
        ),
        (
            "name = 'x'\n# \"\"\"\n[tables.one]\nthe-size = 'x'",
            ":4: tables.one.the-size: it should be an integer",
            "files.md",
        ),
        ("name = 'x'\ninner = [\n  {},\n  7]", ":4: inner.1: ", "files.md"),
        ("name =", " is not valid TOML: ", "toml.io"),
    ],
)
def test_a_mistake_is_one_message_with_its_line(
    tmp_path: Path, text: str, message: str, hint: str
) -> None:
    path = tmp_path / "file.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        read(path, Outer)
    assert caught.value.message.startswith(f"{path}{message}")
    assert hint in (caught.value.hint or "")


def test_a_file_that_is_no_text_says_so(tmp_path: Path) -> None:
    path = tmp_path / "file.toml"
    path.write_bytes(b"name = '\xff'")
    with pytest.raises(UserError, match="is not UTF-8 text"):
        read(path, Outer)
