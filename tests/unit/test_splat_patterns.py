# SPDX-License-Identifier: Apache-2.0
"""The console classifier, on what kernels print: every class, and everything that only looks it."""

from __future__ import annotations

from pathlib import Path

import pytest

from driver.guest.splat_classifier import Classifier, classify
from driver.guest.splat_patterns import KINDS, Severity

FIXTURES = Path(__file__).parent.parent / "fixtures" / "console"


def _samples(name: str) -> list[tuple[str, str]]:
    text = (FIXTURES / name).read_text(encoding="utf-8")
    parts = [part.split("\n", 1) for part in text.split("### ")[1:]]
    return [(heading, body) for heading, body in parts]


SPLATS = _samples("splats.txt")
LOOKALIKES = _samples("lookalikes.txt")

# What a healthy guest prints around anything else.
BEFORE = (
    "[    0.000000] Linux version 6.12.117 (gcc 12.2.0)\n"
    "[    0.000000] Command line: console=ttyS0 panic=-1 pty.legacy_count=0\n"
)
AFTER = "[ 1000.000000] XFS (pmem0): Ending clean mount\n[ 1000.100000] reboot: Power down\n"


def test_there_are_enough_samples_to_mean_something() -> None:
    assert len(SPLATS) >= 60
    assert len(LOOKALIKES) >= 30
    assert len({kind for kind, _body in SPLATS}) >= 40


@pytest.mark.parametrize(("kind", "body"), SPLATS)
def test_every_splat_is_found_and_named(kind: str, body: str) -> None:
    assert [splat.kind for splat in classify(body)] == [kind]
    assert [splat.kind for splat in classify(BEFORE + body + AFTER)] == [kind]


@pytest.mark.parametrize(("what", "body"), LOOKALIKES, ids=[what for what, _ in LOOKALIKES])
def test_a_lookalike_raises_no_alarm(what: str, body: str) -> None:
    assert classify(BEFORE + body + AFTER) == []


def test_every_kind_has_a_sample() -> None:
    untested = {kind.name for kind in KINDS} - {kind for kind, _body in SPLATS}
    assert not untested


@pytest.mark.parametrize("portion", [1, 7, 64])
def test_the_portions_in_which_the_log_arrives_do_not_matter(portion: int) -> None:
    text = "".join(body for _kind, body in SPLATS).replace("\n", "\r\n")
    whole = classify(text)
    classifier = Classifier()
    for start in range(0, len(text), portion):
        classifier.feed(text[start : start + portion])
    classifier.finish()
    assert [splat.kind for splat in classifier.splats] == [splat.kind for splat in whole]
    assert [splat.text() for splat in classifier.splats] == [splat.text() for splat in whole]


def test_a_splat_is_known_at_its_first_line_and_complete_at_its_last() -> None:
    body = dict(SPLATS)["bug"]
    classifier = Classifier()
    lines = body.splitlines(keepends=True)
    for line in lines[:-1]:
        classifier.feed(line)
    assert [splat.kind for splat in classifier.splats] == ["bug"]
    assert classifier.collecting
    classifier.feed(lines[-1])
    assert not classifier.collecting
    assert classifier.splats[0].complete
    assert classifier.splats[0].text() == body.strip()


def test_what_follows_from_a_splat_belongs_to_it() -> None:
    text = (
        "[    5.111111] BUG: kernel NULL pointer dereference, address: 0000000000000018\n"
        "[    5.111555] Oops: Oops: 0000 [#1] PREEMPT SMP NOPTI\n"
        "[    5.112000] Kernel panic - not syncing: Fatal exception\n"
        "[    5.113000] ---[ end Kernel panic - not syncing: Fatal exception ]---\n"
        "[    9.000000] XFS (pmem0): log I/O error -5\n"
    )
    splats = classify(text)
    assert [splat.kind for splat in splats] == ["oops", "xfs-shutdown"]
    assert splats[0].severity is Severity.FATAL
    assert len(splats[0].excerpt) == 4


def test_two_complaints_are_two_splats() -> None:
    leak = dict(SPLATS)["page-table-leak"]
    rss = dict(SPLATS)["bad-rss"]
    assert [splat.kind for splat in classify(rss + leak + leak)] == [
        "bad-rss",
        "page-table-leak",
        "page-table-leak",
    ]


def test_an_endless_trace_ends() -> None:
    start = "[    1.000000] WARNING: possible recursive locking detected\n"
    lines = "".join(f"[    1.{number:06}] more of the same\n" for number in range(1000))
    (splat,) = classify(start + lines)
    assert splat.complete
    assert len(splat.excerpt) <= 250


def test_the_ruler_above_a_report_is_part_of_its_excerpt() -> None:
    body = next(body for kind, body in SPLATS if kind == "kasan")
    (splat,) = classify(body)
    assert splat.text() == body.strip()
