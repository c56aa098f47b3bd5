# SPDX-License-Identifier: Apache-2.0
"""The mutants fit the series they are made from. Running them is ``python -m mutation``."""

from __future__ import annotations

import pytest
from mutation import schemata
from mutation.kernel import patched
from mutation.mutants import Mutant, Site, load

from driver.errors import UserError
from driver.progress import PlainReporter
from driver.project import Project
from driver.store import Store

TEXT = """\
static int one(int a)
{
	flush(a);
	if (a)
		return 1;
	return 0;
}

int two(int a,
	int b)
{
	flush(a);
	flush(b);
	return a;
}
"""


def mutant(number: int, *sites: Site) -> Mutant:
    return Mutant(number, f"m{number}", "flush", "", ("*",), sites, False, None)


def site(text: str, **more: object) -> Site:
    return Site.model_validate({"file": "f.c", "form": "statement", "text": text, **more})


def generated(monkeypatch: pytest.MonkeyPatch, *mutants: Mutant) -> str:
    monkeypatch.setattr(schemata, "_PLUMBING", ())
    return schemata.generate({"f.c": TEXT}, mutants)["f.c"]


def test_a_statement_is_left_out_in_its_function_only(monkeypatch: pytest.MonkeyPatch) -> None:
    text = generated(monkeypatch, mutant(3, site("flush(a);", within="one")))
    assert text.count("DAX_PT_MUTANT(3)") == 1
    assert "{\n\t{ if (DAX_PT_MUTANT(3)) {  } else { flush(a); } }\n\tif (a)" in text


def test_an_expression_gets_another_value(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = site("a", within="one", form="expression", becomes="0", times=2)
    assert "if ((DAX_PT_MUTANT(1) ? (0) : (a)))" in generated(monkeypatch, mutant(1, changed))


def test_mutants_may_nest_and_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    both = site("flush(a);\n\tflush(b);", within="two")
    text = generated(
        monkeypatch,
        mutant(1, both),
        mutant(2, site("flush(b);", within="two")),
        mutant(4, site("flush(b);", within="two", becomes="flush(0);")),
    )
    assert (
        "{ if (DAX_PT_MUTANT(1)) {  } else { flush(a);\n"
        "\t{ if (DAX_PT_MUTANT(4)) { flush(0); } else "
        "{ { if (DAX_PT_MUTANT(2)) {  } else { flush(b); } } } } } }"
    ) in text


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (site("flush(a);"), "found 2 times in f.c and not 1"),
        (site("flush(c);", within="two"), r"found 0 times in two\(\) of f.c"),
        (site("flush(a);", within="three"), "no function three"),
        (site("x", file="g.c"), "no g.c"),
    ],
)
def test_a_text_that_does_not_fit_is_named(
    wrong: Site, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=f"m9: .*{message}"):
        generated(monkeypatch, mutant(9, wrong))


def test_overlapping_texts_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = site("flush(a);\n\tflush(b);"), site("flush(b);\n\treturn a;")
    with pytest.raises(UserError, match="overlap"):
        generated(monkeypatch, mutant(1, one), mutant(2, other))


@pytest.mark.parametrize("base", ["6.12", "7.3"])
def test_all_mutants_fit_the_series(base: str, store: Store, project: Project) -> None:
    mutants = load(base)
    assert len(mutants) >= 80
    files = patched(store, project, "dax-pt-share", base, PlainReporter()).read(mutants)
    texts = schemata.generate(files, mutants)
    assert set(texts) == set(files)
    for each in mutants:
        condition = f"DAX_PT_MUTANT({each.number})"
        found = sum(text.count(condition) for text in texts.values())
        assert found == sum(place.times for place in each.sites), each.name
