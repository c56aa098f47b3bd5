# SPDX-License-Identifier: Apache-2.0
"""A test suite of somebody's own on two kernels: what differs, hangs and crashes is a row each."""

from __future__ import annotations

from pathlib import Path

import pytest

from driver import api
from driver.cli.main import main
from driver.errors import CheckFailed
from driver.suite import junit
from driver.suite.findings import WHOLE

# One kernel twice, with a setting that differs: what is tested is the comparison.
SUITE = """\
description = "Programs that pass, differ, hang, crash the guest, and are cut."
format = "tap"
directory = "/opt/tiny"
timeout = 3
counters = ["pgfault"]
machine = { memory_mib = 512, nvdimm_mib = 64 }
provision = { argv = ["true"] }
[files]
"/opt/tiny" = "built"
[arms.before]
kernel = { series = "none" }
[arms.after]
kernel = { series = "none" }
writes = [{ path = "/proc/sys/vm/swappiness", text = "10" }]
[programs]
pass = { argv = ["./pass"] }
differs = { argv = ["./differs"] }
hang = { argv = ["sleep", "1000"] }
crash = { argv = ["./crash"] }
cut = { argv = ["./cut"] }
missing = { argv = ["./absent"] }
"""
USUAL = "[ $(cat /proc/sys/vm/swappiness) = 60 ]"
PROGRAMS = {
    "pass": "printf '1..2\\nok 1 maps\\nok 2 at 0x%x # SKIP none\\n' $$",
    "differs": f"echo 1..1; {USUAL} && exec echo ok 1 swappiness; echo not ok 1 swappiness; exit 1",
    "crash": "echo 1..1; echo c > /proc/sysrq-trigger; sleep 100",
    "cut": f"echo 1..2; echo ok 1 a; {USUAL} && echo ok 2 b; printf '\\377\\200\\n'",
}


def test_a_suite_of_ones_own(
    tmp_path: Path, scratch_project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = scratch_project / "tiny"
    (folder / "built").mkdir(parents=True)
    (folder / "suite.toml").write_text(SUITE)
    for name, script in PROGRAMS.items():
        (folder / "built" / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / "built" / name).chmod(0o755)
    planned = api.plan_suite(str(folder), api.Options(bases=["6.12"]))
    result = api.run_suite(planned, confirm=1)
    assert len(result.runs) == 2, "what differs runs again"
    assert result.unfinished == 0
    found = {(each.program, each.case): (each.first, each.second) for each in result.worse}
    assert found == {
        ("differs", WHOLE): ("ok", "not ok"),
        ("differs", "swappiness"): ("ok", "not ok"),
        ("cut", WHOLE): ("ok", "incomplete"),
        ("cut", "b"): ("ok", "absent"),
    }
    whole = {name: report.cases[0] for name in result.programs if (report := last(result, name))}
    assert whole["hang"].note.startswith("timeout: ")
    assert whole["crash"].note.startswith("splat: ")
    assert whole["missing"].note == "exited with status 127"
    passed = last(result, "pass")
    assert passed is not None
    assert [(case.name, case.verdict) for case in passed.cases] == [
        (WHOLE, "ok"),
        ("maps", "ok"),
        ("at N", "skip"),
    ]
    assert passed.counters["pgfault"] > 0
    # From the files alone it is the same.
    again = api.read_suite_result(result.runs)
    assert again.worse == result.worse
    # So does the command, and says so by its exit status.
    names = [run.name for run in result.runs]
    with pytest.raises(SystemExit) as caught:
        main(["suite", "show", *names, "--junit", str(tmp_path / "results.xml")])
    assert caught.value.code == CheckFailed.exit_status
    assert "4 do worse elsewhere" in capsys.readouterr().out
    written = junit.parse((tmp_path / "results.xml").read_text())
    assert ("after.differs > swappiness", "not ok") in {
        (case.name, case.verdict) for case in written.cases
    }


def last(result: api.SuiteResult, program: str) -> api.ProgramReport | None:
    return result.report("after", program)
