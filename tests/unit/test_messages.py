# SPDX-License-Identifier: Apache-2.0
"""Every message in the source: what one slip taught, for all that are there and all to come.

The texts are read from the syntax trees. A value that is filled in is shown as ``{expression}``.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import pytest
from helpers.documentation import ROOT

from driver.cli.main import command

# A number of things and a plural after it, unless text.counted() and its like chose the form.
_COUNT_OF_NOUNS = re.compile(
    r"\{(?!counted|share|verb|enumerated)[^{}]*\blen\([^{}]*\}(?: of \{[^{}]*\})?"
    r" (?!has |is |was |does )[a-z-]+s\b"
)
# Where the number is never 1: a single one would have been taken.
_SEVERAL = "{len(found)} trials begin with"
_PROGRAMS = "driver|git|sudo|make|ssh|rm|mkdir|ls|ln|qemu-system-x86_64"
_COMMAND = re.compile(rf"(?:^|[:;(] |`|&& |\n *)((?:{_PROGRAMS}) [^`\n]*)")
_PATH = re.compile(r"\b(?:path|folder|tree|parent|there|socket)\b")
# What ends a command in a sentence.
_END = re.compile(r"`|; | && |\. |\)$|  # |, ")


@dataclass(frozen=True)
class Message:
    """``kind`` is the function that it is for; ``hint`` is None if there is no such argument."""

    place: str
    kind: str
    text: str
    hint: str | None

    @property
    def both(self) -> tuple[str, str]:
        """Text and hint, either of which may be empty."""
        return self.text, self.hint or ""


def _shown(node: ast.expr) -> str:  # noqa: PLR0911
    """A string of the source with its expressions in braces; of several, all of them."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(map(_shown, parts))
        case ast.FormattedValue(value=value):
            return "{" + ast.unparse(value).replace("{", "(").replace("}", ")") + "}"
        case ast.BinOp(left=left, right=right):
            return _shown(left) + _shown(right)
        case ast.BoolOp(values=several):
            return "\n".join(map(_shown, several))
        case ast.IfExp(body=one, orelse=other):
            return f"{_shown(one)}\n{_shown(other)}"
    return ""


@cache
def messages() -> list[Message]:
    found = []
    for path in sorted([*ROOT.glob("driver/**/*.py"), *ROOT.glob("analysis/*.py")]):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call):
                hints = [_shown(word.value) for word in call.keywords if word.arg == "hint"]
                found.append(
                    Message(
                        place=f"{path.relative_to(ROOT)}:{call.lineno}",
                        kind=ast.unparse(call.func).rpartition(".")[2],
                        text=_shown(call.args[0]) if call.args else "",
                        hint=hints[0] if hints else None,
                    )
                )
    return found


def errors() -> Iterator[Message]:
    return (one for one in messages() if re.search(r"(Error|Failed|Lost|Timeout|Splat)$", one.kind))


def commands(text: str) -> Iterator[list[str]]:
    """The words of each command of ours in a hint, as far as they are literal."""
    for match in _COMMAND.finditer(text):
        line = _END.split(match[1])[0]
        if line.startswith("driver "):
            yield re.findall(r"(?:\{[^{}]*\}|\S)+", line)


def test_all_messages_are_read() -> None:
    assert sum(1 for _ in errors()) > 250
    assert sum(1 for one in errors() for _ in commands(one.hint or "")) > 35


def test_a_mistake_of_the_user_comes_with_a_hint() -> None:
    assert not [one for one in messages() if one.kind == "UserError" and one.hint is None]


def test_one_is_singular() -> None:
    wrong = [
        f"{one.place}: {text}"
        for one in messages()
        for text in one.both
        if _COUNT_OF_NOUNS.search(text) and not text.startswith(_SEVERAL)
    ]
    assert not wrong, "use driver.text.counted() or share()"


def test_commands_in_hints_exist() -> None:
    for one in messages():
        if one.kind == "echo":  # results, not advice
            continue
        for text in one.both:
            for words in commands(text):
                _check(words, one.place)


def _check(words: list[str], place: str) -> None:
    here, said = command(), words[1:]
    known = {"--help"}
    while said and getattr(here, "commands", None) and said[0] in here.commands:
        here = here.commands[said.pop(0)]
    if getattr(here, "commands", None) and said and not said[0].startswith("-"):
        pytest.fail(f"{place}: `{shlex.join(words)}`: there is no command {said[0]!r}")
    known |= {name for parameter in here.params for name in parameter.opts}
    for word in said:
        if word.startswith("-") and word.partition("=")[0] not in known | {"-v"}:
            pytest.fail(f"{place}: `{shlex.join(words)}`: there is no option {word}")


def test_a_command_at_the_end_of_a_hint_can_be_pasted() -> None:
    wrong = [
        f"{one.place}: {one.hint}"
        for one in messages()
        for line in (one.hint or "").splitlines()
        if re.search(rf": (?:{_PROGRAMS}) [^`]*[.?;]$", line)
    ]
    assert not wrong, "a full stop behind a command is pasted with it"


def test_paths_in_commands_are_quoted() -> None:
    wrong = []
    for one in messages():
        for match in _COMMAND.finditer(one.hint or ""):
            for value in re.findall(r"\{([^{}]*)\}", match[1]):
                if _PATH.search(value) and not re.search(r"quote|join|_git_in", value):
                    wrong.append(f"{one.place}: {match[1]}")
    assert not wrong, "use shlex.quote()"


def test_values_are_not_shown_as_python_writes_them() -> None:
    containers = re.compile(r"\{(?:dict|list|tuple|set)\(")
    assert not [one.place for one in messages() if containers.search("".join(one.both))]


@pytest.mark.parametrize(
    ("hint", "wrong"),
    [
        ("Make one: driver patch fetch DIR", "no command 'fetch'"),
        ("Build it: driver build --serie x", "no option --serie"),
    ],
)
def test_a_wrong_command_would_be_found(hint: str, wrong: str) -> None:
    (words,) = commands(hint)
    with pytest.raises(pytest.fail.Exception, match=wrong):
        _check(words, "here")
