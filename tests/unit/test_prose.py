# SPDX-License-Identifier: Apache-2.0
"""The prose check: what it reads of each kind of file, and what it leaves out."""

from __future__ import annotations

from pathlib import Path

import check_prose
import pytest

WORDS = check_prose.rules("told -> said\nas it stands|as they stand -> as is\n")


def found(name: str, text: str) -> list[tuple[int, str]]:
    return [(each.line, each.text) for each in check_prose.check(Path(name), text, WORDS)]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.md", "It is told.\nTold again, untold.\n", [(1, "told"), (2, "Told")]),
        ("a.md", "as it\nstands, as they  stand", [(1, "as it stands"), (2, "as they stand")]),
        ("a.md", "```sh\ntold\n```\n`told` [page](told.md)\ntold\n", [(5, "told")]),
        ("a.j2", "{{ told }}{% if told %}{# told #}\ntold", [(2, "told")]),
        ("a.py", 'told = f"{told} told"\n', [(1, "told")]),
        ("a.py", '"""One\n\ntold ``told``."""\ntold()  # told\n', [(3, "told"), (4, "told")]),
        ("a.py", "# as it\n# stands\n", [(1, "as it # stands")]),
        ("a.c", '/* told\n * told */\nint told; // told\nputs("told")', [1, 2, 3, 4]),
        ("a.toml", 'told = "told"  # told\nx = """\ntold"""\n', [1, 1, 3]),
        ("a.patch", "told\n---\n told\n-told\n+told\n", [1, 5]),
        ("a.sh", "# told\n", [(1, "told")]),
        ("a.md", "It is told. <!-- prose: quoted -->\n", []),
        ("a.md", "told-off, re-told, told_off\n", []),
    ],
)
def test_what_is_read(name: str, text: str, expected: list[object]) -> None:
    lines = expected and isinstance(expected[0], int)
    assert [line if lines else (line, word) for line, word in found(name, text)] == expected


@pytest.mark.parametrize("line", ["told", "told ->", "-> said", "told->said"])
def test_a_line_that_is_no_rule(line: str) -> None:
    with pytest.raises(ValueError, match="line 2"):
        check_prose.rules(f"# comment\n{line}\n")


def test_a_finding_says_where_and_what_to_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(check_prose, "ROOT", tmp_path)
    monkeypatch.setattr(check_prose, "repository_files", lambda _paths: [Path("docs/a/b/c.md")])
    page = tmp_path / "docs/a/b/c.md"
    page.parent.mkdir(parents=True)
    page.write_text("It was put to the test.\n")
    assert check_prose.main(["--summary"]) == 1
    said = capsys.readouterr().out.splitlines()
    assert said == [
        "docs/a/b/c.md:1: 'put to the test': write tests",
        "    1  docs/a",
        "    1  in all",
    ]
    page.write_text("It was tested.\n")
    assert check_prose.main([]) == 0


def test_what_others_wrote_is_not_read() -> None:
    names = {str(path) for path in check_prose.repository_files([])}
    assert {"README.md", "driver/errors.py", "analysis/templates/reply.md.j2"} <= names
    assert not any(name.startswith(("analysis/samples/", "docs/reference/")) for name in names)


@pytest.mark.parametrize("path", ["docs/nowhere.md", "/", "README.md/below"])
def test_a_path_that_is_not_in_the_repository_is_an_error_of_one_line(
    path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check_prose.main(["README.md", path]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("check_prose: ")
    assert path in line
