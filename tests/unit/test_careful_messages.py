# SPDX-License-Identifier: Apache-2.0
"""Small things a person notices: what a message names, and what is found out before the work."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from helpers.documentation import ROOT
from helpers.synthetic_runs import EXPERIMENT, LINE, SyntheticRun

from driver.atomic_write import write_atomically
from driver.errors import HostError, UserError
from driver.experiment.estimate import rough
from driver.experiment.load import load, parse
from driver.experiment.plan import Selection, make_plan
from driver.kernel.boot_options import NEEDED, lacking
from driver.kernel.kconfig_fragment import Fragment, builtin
from driver.results.directory import check_writable
from driver.results.manifest import read_manifest

BOM = "\ufeff"


def test_a_byte_order_mark_is_no_part_of_a_file(tmp_path: Path) -> None:
    """Editors on other systems write one, and nobody can see it."""
    (tmp_path / "made").mkdir()
    (tmp_path / "made/experiment.toml").write_text(BOM + EXPERIMENT, encoding="utf-8")
    found = load(tmp_path, "made")
    assert found.experiment == parse("made", tmp_path, EXPERIMENT).experiment
    assert found.text == EXPERIMENT, "nor of the digest"
    fragment = tmp_path / "mine.config"
    fragment.write_text(f"{BOM}CONFIG_NUMA=y\n", encoding="utf-8")
    assert [request.symbol for request in Fragment.read(fragment).requests()] == ["NUMA"]


def test_what_is_excluded_reads_like_the_option() -> None:
    text = EXPERIMENT.replace(
        "[metrics.theory]",
        '[[exclude]]\nreason = "it has none"\nlevels = { kernel = ["old"], size = [1, 2] }\n'
        "[metrics.theory]",
    )
    experiment = parse("made", Path("made"), text).experiment
    with pytest.raises(UserError) as caught:
        make_plan(experiment, Selection(only={"kernel": ["old"], "size": ["1"]}))
    assert "kernel=old size=1,2, because it has none" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.2, "1 s"), (99, "99 s"), (600, "10 min"), (28229, "7.8 h")]
)
def test_a_duration_has_the_unit_a_person_would_use(seconds: float, said: str) -> None:
    assert rough(seconds) == said


def test_a_folder_for_results_that_is_a_file(tmp_path: Path) -> None:
    check_writable(tmp_path / "not/there/yet")
    (tmp_path / "results").touch()
    with pytest.raises(HostError, match="results is not a directory"):
        check_writable(tmp_path / "results")


def test_a_folder_for_results_that_may_not_be_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)  # root may write anywhere
    with pytest.raises(HostError, match="is not writable"):
        check_writable(tmp_path / "results")


def test_a_full_disk_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left") as caught:
        write_atomically(tmp_path / "trials.csv", "a")
    assert caught.value.filename == str(tmp_path / "trials.csv")


def test_a_manifest_that_is_cut_off_is_not_one_of_another_version(tmp_path: Path) -> None:
    run = SyntheticRun(tmp_path / "a", LINE).write()
    run.manifest.write_text(run.manifest.read_text()[:500])
    with pytest.raises(UserError, match="cut off or damaged") as caught:
        read_manifest(run)
    assert "project.commit" not in (caught.value.hint or "")


def test_what_a_kernel_lacks_is_named(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("".join(f"CONFIG_{name}=y\n" for name in NEEDED if name != "BINFMT_ELF"))
    (said,) = lacking(config)
    assert said.startswith("CONFIG_BINFMT_ELF (no program can be executed")
    assert lacking(tmp_path / "none") == []


def test_what_is_needed_is_asked_for_and_documented() -> None:
    asked = {request.symbol: request.value for request in builtin("machine").requests()}
    page = (ROOT / "docs/how-to/choose-the-kernel.md").read_text(encoding="utf-8")
    for name, why in NEEDED.items():
        assert asked.get(name, "y") == "y"
        assert f"| `CONFIG_{name}` | {why} |" in page
