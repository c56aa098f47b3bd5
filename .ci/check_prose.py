# SPDX-License-Identifier: Apache-2.0
"""``check_prose.py [--summary] [PATH ...]``: find the words that ``docs/style/words.txt`` replaces.

Read are pages and templates, comments, strings and docstrings of programs, and what patches add.
Code is not prose: names in it, fenced blocks and `quoted code` are left out. A line that must keep
its words, because it quotes something, says ``prose: quoted``.

Without a path the whole repository is read, except for files that others wrote and files that are
made from sources read here. Exits 1 if anything is found, 2 if a path is not in the repository;
``--summary`` adds a count per folder.
"""

from __future__ import annotations

import argparse
import io
import re
import subprocess
import sys
import tokenize
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WORDS = ROOT / "docs/style/words.txt"
# Written by others, recorded, or made from files that are read themselves.
EXCLUDED = (
    "LICENSE", "LICENSES/", "analysis/reply.md", "analysis/samples/", "docs/reference/",
    "docs/style/words.txt", "requirements.lock", "tests/fixtures/", "tests/unit/test_prose.py",
)  # fmt: skip
QUOTED = "prose: quoted"
# What may stand between two words of a phrase: the line break of a comment or of a string.
_GAP = r"(?:[\s#*>+|\"']|//)+"
_CODE_SPAN = re.compile(r"``[^`\n]+``|`[^`\n]+`")
_FENCE = re.compile(r"^```.*?^```$", re.M | re.S)
_LINK_TARGET = re.compile(r"\]\([^)\s]*\)")
_TEMPLATE_CODE = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.S)
_REPLACEMENT_FIELD = re.compile(r"\{[^{}]*\}")
_C_PROSE = re.compile(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"", re.S)
_TOML_PROSE = re.compile(r'"""(?:\\.|[^\\])*?"""|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'|#[^\n]*', re.S)
_STRING_TOKENS = {
    tokenize.COMMENT,
    tokenize.STRING,
    getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING),  # Python 3.12 splits f-strings
}


@dataclass(frozen=True)
class WordRule:
    """A pattern that finds a word or phrase in any of its forms, and what to write instead."""

    pattern: re.Pattern[str]
    instead: str


@dataclass(frozen=True)
class ProseFinding:
    """A word that was found: file, line from 1, the text as it is there, and what to write."""

    path: str
    line: int
    text: str
    instead: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text!r}: write {self.instead}"


def rules(text: str) -> list[WordRule]:
    """The rules of a word list; raises ValueError with the line of one that is not a rule."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        forms, arrow, instead = line.partition(" -> ")
        if not arrow or not instead.strip() or not forms.strip():
            raise ValueError(f"line {number}: not `word -> replacement`: {line!r}")
        phrases = [_GAP.join(map(re.escape, form.split())) for form in forms.split("|")]
        pattern = re.compile(rf"(?<![\w-])(?:{'|'.join(phrases)})(?![\w-])", re.I)
        found.append(WordRule(pattern, instead.strip()))
    return found


def _blank(match: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", match[0])


def _only(pattern: re.Pattern[str], text: str) -> str:
    """The text with everything but the matches blanked; lines and columns stay."""
    kept, end = [], 0
    for match in pattern.finditer(text):
        kept += [re.sub(r"[^\n]", " ", text[end : match.start()]), match[0]]
        end = match.end()
    return "".join([*kept, re.sub(r"[^\n]", " ", text[end:])])


def python_prose(text: str) -> str:
    """Comments, strings and docstrings, without what f-strings and formats fill in."""
    lines = [list(re.sub(r"[^\n]", " ", line)) for line in text.splitlines(keepends=True)]
    source = text.splitlines(keepends=True)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in _STRING_TOKENS:
            continue
        (first, begin), (last, end) = token.start, token.end
        for row in range(first, last + 1):
            line = source[row - 1]
            left = begin if row == first else 0
            right = end if row == last else len(line)
            lines[row - 1][left:right] = line[left:right]
    return _REPLACEMENT_FIELD.sub(_blank, "".join("".join(line) for line in lines))


def markdown_prose(text: str) -> str:
    """Sentences: no fenced blocks, no addresses of links."""
    return _LINK_TARGET.sub(_blank, _FENCE.sub(_blank, text))


def template_prose(text: str) -> str:
    """The text around Jinja's expressions and statements."""
    return markdown_prose(_TEMPLATE_CODE.sub(_blank, text))


def patch_prose(text: str) -> str:
    """The message of a commit, and the lines that it adds."""
    message, fence, diff = text.partition("\n---\n")
    kept = [
        line if line.startswith("+") and not line.startswith("+++") else " " * len(line)
        for line in diff.split("\n")
    ]
    return message + fence + "\n".join(kept)


_BY_SUFFIX: dict[str, Callable[[str], str]] = {
    ".py": python_prose,
    ".md": markdown_prose,
    ".rst": markdown_prose,
    ".j2": template_prose,
    ".c": lambda text: _only(_C_PROSE, text),
    ".h": lambda text: _only(_C_PROSE, text),
    ".toml": lambda text: _only(_TOML_PROSE, text),
    ".patch": patch_prose,
}


def prose(path: Path, text: str) -> str:
    """What a person reads of a file, each character at its place, and the rest blanked.

    Files of other kinds (scripts, fragments, the Makefile) are read whole.
    """
    shown = _BY_SUFFIX.get(path.suffix, str)(text)
    shown = "\n".join(
        " " * len(line) if QUOTED in original else line
        for line, original in zip(shown.split("\n"), text.split("\n"), strict=True)
    )
    return _CODE_SPAN.sub(_blank, shown)


def check(path: Path, text: str, words: Sequence[WordRule]) -> Iterator[ProseFinding]:
    """What the rules find in one file, in the order of its lines."""
    shown = prose(path, text)
    found = []
    for rule in words:
        for match in rule.pattern.finditer(shown):
            line = shown.count("\n", 0, match.start()) + 1
            found.append(ProseFinding(str(path), line, " ".join(match[0].split()), rule.instead))
    yield from sorted(found, key=lambda finding: finding.line)


def repository_files(paths: Sequence[str]) -> list[Path]:
    """The files of the repository at or below paths (default: all), relative to its root.

    Raises FileNotFoundError for a path that does not exist, and CalledProcessError if git fails,
    as it does for a path outside the repository.
    """
    for path in paths:
        (ROOT / path).lstat()
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *paths],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split("\0")  # fmt: skip
    return [Path(name) for name in sorted(listed) if name and not name.startswith(EXCLUDED)]


def folder(path: str) -> str:
    """The part of a path that a summary counts by: two folders deep at most."""
    return "/".join(Path(path).parts[:-1][:2]) or "."


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Find words that docs/style/words.txt replaces.")
    parser.add_argument("paths", nargs="*", metavar="PATH", help="default: the whole repository")
    parser.add_argument("--summary", action="store_true", help="count the findings of each folder")
    options = parser.parse_args(arguments)
    try:
        words = rules(WORDS.read_text(encoding="utf-8"))
        files = repository_files(options.paths)
    except subprocess.CalledProcessError as error:
        print(f"check_prose: {' '.join(error.stderr.split())}", file=sys.stderr)
        return 2
    except (OSError, UnicodeDecodeError) as error:
        print(f"check_prose: {error}", file=sys.stderr)
        return 2
    found: list[ProseFinding] = []
    for path in files:
        try:
            text = (ROOT / path).read_text(encoding="utf-8")
        except (UnicodeDecodeError, FileNotFoundError):  # a picture; deleted and not committed yet
            continue
        except IsADirectoryError:  # a link to a folder, whose files are listed by themselves
            continue
        found += check(path, text, words)
    for finding in found:
        print(finding)
    if options.summary:
        counts = Counter(folder(finding.path) for finding in found)
        for name, count in sorted(counts.items()):
            print(f"{count:5}  {name}")
        print(f"{len(found):5}  in all")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
