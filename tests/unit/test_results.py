# SPDX-License-Identifier: Apache-2.0
"""Runs on disk: what may be in them, how they are named, and what a damaged one says."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from helpers.synthetic_runs import FakeGuestRun

from driver.counters import sources
from driver.errors import UserError
from driver.guest.job import JobResult, Sample, Value
from driver.results import tidy
from driver.results.directory import RunDirectory
from driver.results.manifest import read_manifest
from driver.results.reader import read_run
from driver.results.record import Attempt, TrialRecord, read_raw, read_record, write_record
from driver.results.tidy import numbers
from driver.validity import Accelerator, InvalidMeasurement, Validity

TCG, KVM = Validity(Accelerator.TCG), Validity(Accelerator.KVM)
EXACT = Validity(Accelerator.ICOUNT, icount_shift=3)


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    bench = FakeGuestRun(tmp_path, only={"processes": ["1", "2"], "gib": ["1"], "entry": ["4K"]})
    return bench.run().directory.path


@pytest.mark.parametrize(
    ("validity", "value", "unit", "admitted"),
    [
        (TCG, 513, "pages", (513, "pages")),
        (TCG, 4096, "B", (4096, "B")),
        (KVM, 1.5, "ms", (1.5, "ms")),
        (KVM, 9, "cycles", (9, "cycles")),
        (EXACT, 8000, "ns", (1000, "instructions")),
        (EXACT, 8, "us", (1000, "instructions")),
        (EXACT, 17, "instructions", (17, "instructions")),
    ],
)
def test_admits_what_was_measured(
    validity: Validity, value: float, unit: str, admitted: tuple[float, str]
) -> None:
    assert validity.admit(value, unit) == admitted


@pytest.mark.parametrize(
    ("validity", "unit", "reason"),
    [
        (TCG, "ns", "not a time"),
        (TCG, "s", "not a time"),
        (TCG, "instructions", "only under icount"),
        (KVM, "instructions", "only under icount"),
        *((TCG, unit, "is not a count") for unit in ("seconds", "nanoseconds", "msecs", "minutes")),
        *((KVM, unit, "is not a count") for unit in ("seconds", "microseconds")),
        (EXACT, "seconds", "is not a count"),
        *((TCG, unit, "by another name") for unit in ("cycles", "tsc-cycles", "ticks", "jiffies")),
        (TCG, "parsec", "unknown unit"),
        (TCG, "", "unknown unit"),
    ],
)
def test_refuses_what_cannot_have_been_measured(validity: Validity, unit: str, reason: str) -> None:
    with pytest.raises(InvalidMeasurement, match=reason):
        validity.admit(1, unit)


def test_a_shift_belongs_to_exact_runs() -> None:
    with pytest.raises(ValueError, match="icount shift"):
        Validity(Accelerator.TCG, icount_shift=3)
    with pytest.raises(ValueError, match="icount shift"):
        Validity(Accelerator.ICOUNT)


def test_times_of_an_emulated_guest_never_reach_the_table() -> None:
    result = JobResult(
        status=0,
        samples=[Sample("touched", "/proc/vmstat", None, 5, "pgfault 7\nnr_x 1\n")],
        values=[
            Value("touched", "elapsed", "ns", 800.0),
            Value("touched", "faults", "faults", 9.0),
        ],
    )
    found = numbers(result, {"vmstat": ["pgfault"]}, TCG)
    assert [(n.source, n.metric, n.value, n.unit) for n in found.kept] == [
        ("vmstat", "pgfault", 7, "events"),
        ("value", "faults", 9, "faults"),
    ]
    assert len(found.refused) == 1
    assert "elapsed" in found.refused[0]
    counted = numbers(result, {}, EXACT).kept
    assert [(n.metric, n.value, n.unit) for n in counted] == [
        ("elapsed", 100, "instructions"),
        ("faults", 9, "faults"),
    ]


def test_counts_of_a_kernel_that_had_not_settled_are_kept_and_said() -> None:
    text = "PageTables:  4 kB\n"
    samples = [
        Sample("gone", "/proc/meminfo", None, 1, text, settled=False),
        Sample("gone", "/proc/vmstat", None, 1, "nr_page_table_pages 1\n", settled=False),
        Sample("half", "/proc/meminfo", None, 1, text),
    ]
    found = numbers(JobResult(0, samples), {"meminfo": ["PageTables"]}, Validity(Accelerator.TCG))
    assert [number.value for number in found.kept] == [4096, 4096]
    assert found.refused == ["gone: page tables were still being freed, and are counted"]


def test_the_last_announcement_of_a_phase_counts() -> None:
    """All of it: the processes may be others than before."""
    samples = [
        Sample("peak", "/proc/meminfo", None, 1, "PageTables:  4 kB\n"),
        Sample("peak", "stat", 0, 1, "1 (x) S 1 1 1 0 -1 0 5 0 0 0 0 0 0 0 20 0 1 0\n"),
        Sample("other", "/proc/meminfo", None, 2, "PageTables:  6 kB\n"),
        Sample("peak", "/proc/meminfo", None, 3, "PageTables:  8 kB\n"),
    ]
    keep = {"meminfo": ["PageTables"], "stat": ["minflt"]}
    found = numbers(JobResult(0, samples), keep, TCG).kept
    assert [(n.phase, n.metric, n.value) for n in found] == [
        ("other", "PageTables", 6 << 10),
        ("peak", "PageTables", 8 << 10),
    ]


def test_a_counter_is_refused_where_it_says_it_means_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    timed = {
        name: replace(source, valid=frozenset({Accelerator.KVM, Accelerator.ICOUNT}))
        for name, source in sources().items()
    }
    monkeypatch.setattr(tidy, "sources", lambda: timed)
    result = JobResult(0, [Sample("touched", "/proc/vmstat", None, 5, "pgfault 7\n")])
    assert [number.value for number in numbers(result, {"vmstat": ["*"]}, KVM).kept] == [7]
    found = numbers(result, {"vmstat": ["*"]}, TCG)
    assert not found.kept
    assert found.refused == [
        "touched: vmstat pgfault: vmstat is valid under icount, kvm, not under tcg"
    ]


def test_a_damaged_record_is_named(finished: Path) -> None:
    record = next(iter(sorted((finished / "trials").iterdir())))
    record.write_bytes(record.read_bytes()[:100])
    with pytest.raises(UserError, match="is damaged") as caught:
        read_record(RunDirectory(finished), record.stem)
    assert str(record) in caught.value.message
    assert f"--resume {finished.name}" in (caught.value.hint or "")


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: raw[: len(raw) // 2],
        lambda raw: raw[:30] + bytes([raw[30] ^ 0xFF]) + raw[31:],
        lambda _: b"",
        lambda _: b"no samples",
        lambda _: gzip.compress(b'{"kind": "job", "status": 0}\n'),
        lambda _: gzip.compress(b"\xff\n"),
    ],
)
def test_damaged_samples_are_named(finished: Path, damage: Callable[[bytes], bytes]) -> None:
    run = RunDirectory(finished)
    raw = next(iter(sorted(run.raw.iterdir())))
    trial = raw.name.removesuffix(".jsonl.gz")
    raw.write_bytes(damage(raw.read_bytes()))
    with pytest.raises(UserError, match="is damaged") as caught:
        read_raw(run, trial)
    assert str(raw) in caught.value.message
    assert str(run.trials / f"{trial}.json") in (caught.value.hint or "")
    raw.unlink()
    with pytest.raises(UserError, match="is damaged"):
        read_raw(run, trial)


def test_names_sort_by_time_and_never_collide(tmp_path: Path) -> None:
    early = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    late = datetime(2026, 1, 2, 3, 4, 6, tzinfo=UTC)
    first = RunDirectory.create(tmp_path, "x", early)
    second = RunDirectory.create(tmp_path, "x", early)
    third = RunDirectory.create(tmp_path, "x", late)
    assert first.name == "x-20260102T030405Z"
    assert sorted([third.name, second.name, first.name]) == [first.name, second.name, third.name]


def test_latest_moves_in_one_step(tmp_path: Path) -> None:
    for _ in range(2):
        run = RunDirectory.create(tmp_path, "x")
        run.point_latest()
        assert (tmp_path / "latest").readlink() == Path(run.name), "relative: results may be moved"
    assert not list(tmp_path.glob(".latest*"))


def test_a_run_is_found_by_name_path_or_latest(finished: Path) -> None:
    for name in (finished.name, str(finished), "latest"):
        assert RunDirectory.find(finished.parent, name).path == finished
    with pytest.raises(UserError, match="no run called") as caught:
        RunDirectory.find(finished.parent, finished.name[:-2])
    assert finished.name in (caught.value.hint or "")


def test_raw_samples_survive_word_for_word_and_pack_alike(tmp_path: Path) -> None:
    result = JobResult(
        status=0,
        samples=[Sample("a", "/proc/meminfo", None, 1, "PageTables: 8 kB\n\xff\u2028")],
        values=[Value("a", "faults", "faults", 1.0)],
        output="done\n",
    )
    attempt = Attempt(verdict="ok", host_seconds=0.5)
    packed = []
    for name in ("one", "two"):
        run = RunDirectory.create(tmp_path, name)
        record = TrialRecord(
            id="t", sequence=0, repeat=0, factors={}, argv=["x"], attempts=[attempt]
        )
        write_record(run, record, result, "console \udcff")
        assert read_raw(run, "t") == result
        packed.append((run.raw / "t.jsonl.gz").read_bytes())
    assert packed[0] == packed[1]


def edit(path: Path, change: Callable[[str], str]) -> None:
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")


def test_reading_gives_types_back(finished: Path) -> None:
    run = read_run(finished)
    assert set(run.samples["processes"]) == {1, 2}
    assert set(run.samples["entry"]) == {"4K"}
    tables = run.samples.query("metric == 'PageTables' and phase == 'touched'")
    assert set(tables["unit"]) == {"B"}
    assert run.samples["process"].dtype == "Int64"
    per_process = run.samples.query("source == 'status'")
    assert set(per_process["process"]) == {0}
    assert set(run.checks["verdict"]) == {"holds"}


def _with_value(cell: str) -> Callable[[str], str]:
    """A change of the first value in bytes of ``samples.csv``; two quotes leave it empty."""
    return lambda text: re.sub(r",\d+,B\n", f",{cell.strip(chr(39))},B\n", text, count=1)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("samples.csv", lambda text: text.replace(",unit", ",units", 1), "has the columns"),
        ("samples.csv", lambda text: text + text.splitlines()[-1] + "\n", "twice"),
        (
            "samples.csv",
            lambda text: text.replace("baseline_off_4K_1_1_r1", "baseline_off_4K_9_1_r1"),
            "never planned",
        ),
        (
            "samples.csv",
            lambda text: text.replace("r1,baseline,", "r1,patched,", 1),
            "not those of the plan",
        ),
        ("samples.csv", lambda text: text.replace(",B\n", ",ns\n", 1), "is not a time"),
        ("samples.csv", lambda text: re.sub(r",\d+,B\n", ",much,B\n", text, count=1), "'much'"),
        *(
            ("samples.csv", _with_value(cell), f"value: .*{cell}")
            for cell in ("nan", "''", "inf", "-inf", "1e400")
        ),
        ("samples.csv", lambda text: text.replace(",0,", ",0.5,", 1), "process: "),
        ("samples.csv", lambda text: text.replace(",0,", ",inf,", 1), "process: "),
        ("trials.csv", lambda text: text.replace(",0,0,ok", ",0,,ok", 1), "repeat: ''"),
        ("trials.csv", lambda text: text.replace(",0,0,ok", ",0,x,ok", 1), "repeat: .*'x'"),
        ("checks.csv", lambda text: text.replace(",B,holds", "?,B,holds", 1), "allowed: "),
        ("trials.csv", lambda _: "", "cannot be read"),
        ("manifest.json", lambda text: text.replace('"schema_version": 2', '"schema_version": 9'),
         "schema version 9; this driver reads 1, 2"),
        ("manifest.json", lambda text: text[: len(text) // 2], "is not a manifest"),
    ],
)  # fmt: skip
def test_a_damaged_run_is_refused(
    finished: Path, name: str, change: Callable[[str], str], message: str
) -> None:
    edit(finished / name, change)
    with pytest.raises(UserError, match=message) as caught:
        read_run(finished)
    assert str(finished / name) in caught.value.message


def test_the_manifest_says_what_the_numbers_are_worth(finished: Path) -> None:
    manifest = read_manifest(RunDirectory(finished))
    assert manifest.valid["time"] == "refused"
    assert manifest.host.cpus >= 1
    assert "serial" not in json.dumps(manifest.model_dump()), "nothing identifies a machine"
    assert manifest.validity == TCG
