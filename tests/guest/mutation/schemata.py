# SPDX-License-Identifier: Apache-2.0
"""Mutant schemata: one source text that holds every mutant, and a number that chooses.

A statement ``S`` of mutant 7 becomes ``{ if (DAX_PT_MUTANT(7)) { M } else { S } }`` and an
expression ``(DAX_PT_MUTANT(7) ? (M) : (E))``. So one build serves all mutants, and a kernel booted
with number 0 does what the series does.

Several mutants may concern one text, and one text may lie within another; texts that overlap
otherwise are an error.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from driver.errors import UserError
from mutation.mutants import Form, Mutant, Site

CONDITION = "DAX_PT_MUTANT"
HEADER = "include/linux/dax_pt_share.h"
SOURCE = "mm/dax_pt_share.c"
PARAMETER = "/sys/module/dax_pt_share/parameters/mutant"

# (file, a line of it, what is put behind that line)
_PLUMBING = (
    (
        HEADER,
        "struct zap_details;\n",
        f"extern int dax_pt_mutant;\n#define {CONDITION}(n) (READ_ONCE(dax_pt_mutant) == (n))\n",
    ),
    (SOURCE, "#include <linux/mmu_notifier.h>\n", "#include <linux/moduleparam.h>\n"),
    (
        SOURCE,
        "DEFINE_STATIC_KEY_FALSE(dax_pt_share_used);\n",
        "int dax_pt_mutant;\nmodule_param_named(mutant, dax_pt_mutant, int, 0644);\n",
    ),
)


@dataclass
class _Span:
    """A stretch of a file, and what it becomes for which mutant."""

    start: int
    end: int
    form: Form
    variants: dict[int, str] = field(default_factory=dict)
    inner: list[_Span] = field(default_factory=list)


def generate(files: Mapping[str, str], mutants: Iterable[Mutant]) -> dict[str, str]:
    """The texts of ``files`` with all mutants in them; files without a mutant are left out.

    Raises :class:`UserError` naming the mutant whose text is not found exactly as often as it says.
    """
    spans: dict[str, dict[tuple[int, int], _Span]] = defaultdict(dict)
    for mutant in mutants:
        for site in mutant.sites:
            for start, end in _find(files, mutant, site):
                span = spans[site.file].setdefault((start, end), _Span(start, end, site.form))
                if span.form != site.form:
                    raise UserError(
                        f"{mutant.name}: another mutant has the same text as a {span.form}"
                    )
                span.variants[mutant.number] = site.becomes
    texts = {
        name: _render(
            files[name], _Span(0, len(files[name]), "statement", inner=_nest(name, found))
        )
        for name, found in spans.items()
    }
    for name, line, addition in _PLUMBING:
        text = texts.get(name, files[name])
        if text.count(line) != 1:
            raise UserError(f"{name} has {text.count(line)} lines `{line.strip()}` instead of one")
        texts[name] = text.replace(line, line + addition)
    return texts


def plumbing_files() -> set[str]:
    """The files that are changed whatever the mutants are."""
    return {name for name, _line, _addition in _PLUMBING}


def function(text: str, name: str) -> tuple[int, int] | None:
    """Where the body of a function is, by the kernel's style: braces in the first column."""
    head = re.compile(rf"^[^\s#/}}][^;{{}}]*\b{re.escape(name)}\([^;{{}}]*\)\n\{{$", re.M)
    found = head.search(text)
    if found is None:
        return None
    end = text.find("\n}", found.end())
    return found.end(), end if end >= 0 else len(text)


def _find(files: Mapping[str, str], mutant: Mutant, site: Site) -> list[tuple[int, int]]:
    if site.file not in files:
        raise UserError(f"{mutant.name}: there is no {site.file}")
    text, wanted = files[site.file], site.text.strip()
    where = function(text, site.within) if site.within else (0, len(text))
    if where is None:
        raise UserError(f"{mutant.name}: {site.file} has no function {site.within}")
    start, end = where
    found = [
        (match.start(), match.end())
        for match in re.compile(re.escape(wanted)).finditer(text, start, end)
    ]
    if len(found) != site.times:
        place = f"{site.within}() of {site.file}" if site.within else site.file
        raise UserError(
            f"{mutant.name}: found {len(found)} times in {place} and not {site.times}: {wanted}",
            hint="The series has changed: bring mutants.toml in line with it.",
        )
    return found


def _nest(name: str, found: Mapping[tuple[int, int], _Span]) -> list[_Span]:
    outermost: list[_Span] = []
    open_spans: list[_Span] = []
    for span in sorted(found.values(), key=lambda span: (span.start, -span.end)):
        while open_spans and open_spans[-1].end <= span.start:
            open_spans.pop()
        if open_spans and span.end > open_spans[-1].end:
            raise UserError(f"{name}: texts of two mutants overlap at offset {span.start}")
        (open_spans[-1].inner if open_spans else outermost).append(span)
        open_spans.append(span)
    return outermost


def _render(text: str, span: _Span) -> str:
    parts, at = [], span.start
    for inner in span.inner:
        parts += [text[at : inner.start], _render(text, inner)]
        at = inner.end
    result = "".join([*parts, text[at : span.end]])
    for number, becomes in span.variants.items():
        if span.form == "statement":
            result = f"{{ if ({CONDITION}({number})) {{ {becomes} }} else {{ {result} }} }}"
        else:
            result = f"({CONDITION}({number}) ? ({becomes}) : ({result}))"
    return result
