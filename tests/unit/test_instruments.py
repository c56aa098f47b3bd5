# SPDX-License-Identifier: Apache-2.0
"""Instruments without QEMU: compiling plugins, reading what they write, comparing what they saw."""

from __future__ import annotations

import csv
import io
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.synthetic_runs import EXPERIMENT, LINE, SyntheticRun
from rich.console import Console

from driver.api.instruments import check_instruments
from driver.artifacts import ImageArtifact, KernelArtifact
from driver.cli.main import main
from driver.cli.views.functions import function_changes, function_changes_csv
from driver.compare.functions import compare_functions
from driver.errors import HostError, UserError
from driver.experiment.load import Definition, parse
from driver.experiment.plan import Selection, make_plan
from driver.guest import emulator, template_recipe
from driver.guest.machine import Machine
from driver.guest.qemu_args import Files, Ports, argv
from driver.guest.standalone import standalone_command
from driver.htmlreport.instructions import window_bars
from driver.image import cpio
from driver.instruments import functions, instruments, page_walks, plugin
from driver.instruments.instrument import Scene, UnreadableObservation
from driver.instruments.programs import UNKNOWN, Programs, UserBlock
from driver.results.directory import RunDirectory
from driver.results.manifest import read_manifest
from driver.results.observations import read_table, write_observations
from driver.results.writer import write_tables
from driver.store import Store

ROOT = Path(__file__).resolve().parents[2]
NOWHERE = Path("/nowhere")
# A function at 0x1000 and one at 0x1008, beyond 0x1010 nothing.
OUTPUT = """\
block 0 ffffffff80001000 0 444
block 1 ffffffff8000100c 0 44
block 2 401000 7f00 23 0f0590aabb
count 0 other 0 0 0 3 5
window 0 sampling 1
count 1 cost 1 0 1 3 2
count 1 cost 0 1 0 2 7
count 1 cost 0 2 0 2 1
window 1 cost 4
uncertain 1 3
end
"""


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """A kernel of two functions, and an image with a program that has no page of the output's."""

    def owner(address: int) -> tuple[str, int]:
        offset = address - 0xFFFFFFFF80001000
        return ("one", address - offset) if offset < 8 else ("two", address - offset + 8)

    monkeypatch.setattr(functions, "kernel_owner", lambda _vmlinux: owner)
    vmlinux, initramfs = tmp_path / "vmlinux", tmp_path / "initramfs"
    vmlinux.write_bytes(b"\x7fELF")
    cpio.write(initramfs, {"/usr/bin/program": cpio.File(b"\x7fELF" + bytes(8192))})
    kernel = KernelArtifact("k", "6.12", vmlinux, NOWHERE, NOWHERE, NOWHERE, {})
    return Scene(kernel, ImageArtifact("i", "dax", initramfs, {}), Machine(), ["only"])


def read(text: str, scene: Scene, folder: Path) -> dict[str, list[dict[str, object]]]:
    path = folder / "functions.out"
    path.write_text(text)
    found = functions.INSTRUMENT.read(path, scene)
    return {name: [dict(row) for row in rows] for name, rows in found.items()}


def test_reads_what_the_plugin_writes(scene: Scene, tmp_path: Path) -> None:
    found = read(OUTPUT, scene, tmp_path)
    rows = [tuple(row.values()) for row in found["functions.csv"]]
    assert rows == [
        ("only", "other", 0, "kernel", "one", 5, 10),
        ("only", "other", 0, "kernel", "two", 5, 5),
        ("(end)", "cost", 0, "kernel", "two", 0, 14),
        ("(end)", "cost", 0, "user", UNKNOWN, 0, 2),
        # The part that begins with the second instruction does not enter the function.
        ("(end)", "cost", 1, "kernel", "one", 0, 2),
        ("(end)", "cost", 1, "kernel", "two", 2, 2),
    ]
    assert [tuple(row.values()) for row in found["windows.csv"]] == [
        ("only", "other", "", 15, 0),
        ("(end)", "cost", 4, 20, 3),
    ]


def test_a_workload_that_marks_no_phases_gets_numbers(scene: Scene, tmp_path: Path) -> None:
    lines = [line for line in OUTPUT.splitlines() if " 1 cost" not in line]
    found = read("\n".join(lines), scene, tmp_path)
    assert {row["phase"] for row in found["functions.csv"]} == {"(1 of 1)"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (OUTPUT.removesuffix("end\n"), "cut off"),
        (OUTPUT[:60], "functions"),
        ("", "cut off"),
        (OUTPUT.replace("count 1", "count one"), "one"),
        (OUTPUT.replace("cost 0 1", "cost 0 9"), "9"),
        ("\x7fELF", "not a line"),
    ],
)
def test_refuses_what_is_not_whole(text: str, message: str, scene: Scene, tmp_path: Path) -> None:
    with pytest.raises(UnreadableObservation, match=message):
        read(text, scene, tmp_path)


def test_finds_the_program_of_a_page() -> None:
    common, own = bytes(range(1, 17)), bytes(range(100, 116))
    page = bytearray(4096)
    page[16:32] = common
    first, second = bytes(4096) + bytes(page), bytearray(bytes(4096) + bytes(page))
    second[4096 + 64 : 4096 + 80] = own
    programs = Programs((("first", first), ("second", bytes(second))))
    # At any address and at any page of the file, but at the same place in it.
    shared, only = UserBlock(0x7F0000000010, 1, common), UserBlock(0x7F0000000040, 1, own)
    moved, few = UserBlock(0x7F0000000020, 2, common), UserBlock(0x401010, 3, common[:1])
    found = programs.owners([shared, only, moved, few])
    assert found == {shared: "second", only: "second", moved: UNKNOWN, few: UNKNOWN}


def test_an_archive_is_read_as_it_was_written(tmp_path: Path) -> None:
    one, two, both = (tmp_path / name for name in ("one", "two", "both"))
    cpio.write(one, {"/bin/a": cpio.File(b"abc"), "/bin/b": cpio.Link("a")})
    cpio.write(two, {"/c": cpio.File(b"")})
    cpio.concatenate([one, two], both)
    assert list(cpio.read(both)) == [("bin/a", b"abc"), ("c", b"")]
    two.write_bytes(b"\x1f\x8bcompressed")
    with pytest.raises(ValueError, match="not a cpio archive"):
        list(cpio.read(two))


def test_workloads_and_plugins_mean_the_same_marker(tmp_path: Path) -> None:
    workloads, own = ROOT / "experiments/workloads/lib/marker.h", ROOT / "driver/instruments"
    program = f"""
        #include "{workloads}"
        #define text(kind) "." kind
        asm(".data\\nbegin:" MARKER(MARKER_ANNOUNCE) "\\n" MARKER(MARKER_CONTINUE) "\\n"
            MARKER(MARKER_BEGIN) "\\n" MARKER(MARKER_END) "\\n.byte 0x90,0,0,0,0,0,0\\n.text");
        #undef MARKER_ANNOUNCE
        #undef MARKER_CONTINUE
        #undef MARKER_BEGIN
        #undef MARKER_END
        #undef MARKER_H
        #include "{own}/marker.h"
        #include <stdio.h>
        extern const uint8_t begin[];
        int main(void)
        {{
            for (int i = 0; i < 5; i++)
                printf("%d", is_marker(begin + 7 * i) ? begin[7 * i + MARKER_KIND] : -1);
            return !(MARKER_ANNOUNCE == 0 && MARKER_CONTINUE == 1 && MARKER_BEGIN == 2 &&
                     MARKER_END == 3 && MARKER_SIZE == 7);
        }}
    """
    source, binary = tmp_path / "marker.c", tmp_path / "marker"
    source.write_text(program)
    subprocess.run(["gcc", "-no-pie", "-o", binary, source], check=True)
    done = subprocess.run([binary], capture_output=True, text=True, check=True)
    assert done.stdout == "0123-1"


@pytest.mark.parametrize("interface", [1, 2, 3, 4])
def test_plugins_compile_for_every_interface(
    interface: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugin, "plugin_interface", lambda: interface)
    store = Store(tmp_path)
    for instrument in instruments().values():
        if instrument.interface > interface:
            with pytest.raises(HostError, match=r"needs QEMU 10\.0 or newer") as error:
                plugin.compiled(store, instrument)
            assert "--qemu PATH" in (error.value.hint or "")
            continue
        found = plugin.compiled(store, instrument)
        assert (found.path / "plugin.so").stat().st_size > 0
        assert found.inputs["interface"] == interface


def test_a_plugin_that_does_not_compile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin, "plugin_interface", lambda: 1)
    monkeypatch.setattr(plugin, "_FOLDER", tmp_path)
    (tmp_path / "functions.c").write_text("int x = y;\n")
    with pytest.raises(
        HostError, match="cannot compile the plugin of the instrument functions"
    ) as error:
        plugin.compiled(Store(tmp_path / "cache"), instruments()["functions"])
    assert "y" in (error.value.excerpt or "")
    assert "without --instrument functions" in (error.value.hint or "")


@pytest.mark.parametrize(
    ("version", "help_text", "interface"),
    [
        ("7.2.22", "-plugin [file=]", 1),
        ("9.0.1", "-plugin x", 2),
        ("9.2.0", "-plugin x", 3),
        ("10.0.2", "-plugin x", 4),
    ],
)
def test_the_interface_is_that_of_the_version(
    version: str, help_text: str, interface: int, qemu: Callable[[str, str], None]
) -> None:
    qemu(version, help_text)
    assert plugin.plugin_interface() == interface


def test_a_qemu_without_plugins(qemu: Callable[[str, str], None]) -> None:
    qemu("7.2.22", "-display none")
    with pytest.raises(HostError, match=r"7\.2\.22 was built without TCG plugins") as error:
        plugin.plugin_interface()
    assert "--enable-plugins" in (error.value.hint or "")


@pytest.fixture
def qemu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """Put a program in QEMU's place that has this version and this help."""

    def install(version: str, help_text: str) -> None:
        program = tmp_path / "qemu-system-x86_64"
        program.write_text(
            f'#!/bin/sh\n[ "$1" = --version ] && echo "QEMU emulator version {version}" '
            f'|| echo "{help_text}"\n'
        )
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        template_recipe.qemu_version.cache_clear()
        plugin.plugin_interface.cache_clear()

    yield install
    template_recipe.qemu_version.cache_clear()
    plugin.plugin_interface.cache_clear()


def test_another_qemu_can_be_named(
    qemu: Callable[[str, str], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It is asked for its version, runs guests, and stands in the line that starts one."""
    qemu("11.1.0", "-plugin x")
    named = (tmp_path / "qemu-system-x86_64").rename(tmp_path / "another")
    monkeypatch.setenv(emulator.VARIABLE, "")
    with pytest.raises(SystemExit):
        main(["--qemu", str(named), "list"])
    capsys.readouterr()
    assert plugin.demand_interface(instruments()["page-walks"]) == 4
    files = Files(Path("KERNEL"), Path("IMAGE"), Path("LOG"))
    assert f"exec {named} " in standalone_command(Machine(), files)
    assert emulator.command(["qemu-system-x86_64", "-S"]) == [str(named), "-S"]
    monkeypatch.setenv(emulator.VARIABLE, "")
    assert emulator.program() == "qemu-system-x86_64"


def test_not_under_kvm() -> None:
    with pytest.raises(UserError, match="and KVM emulates none"):
        check_instruments("kvm", ["functions"])


@pytest.mark.parametrize("name", ["page-tables", "page-walks"])
def test_not_while_a_clock_goes_on(name: str) -> None:
    with pytest.raises(UserError, match="their clock goes on") as error:
        check_instruments("tcg", [name])
    assert "--accel icount" in (error.value.hint or "")


def test_an_instrument_that_does_not_exist(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["run", "experiment", "five-cases", "--instrument", "function", "--dry-run"]
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == UserError.exit_status
    assert "there is no instrument 'function'" in capsys.readouterr().err
    text = _experiment("[instruments.functoins]\n")
    with pytest.raises(UserError, match="unknown instrument 'functoins'"):
        parse("made", NOWHERE, text)


def test_an_experiment_says_which_trials_are_watched() -> None:
    text = _experiment("[instruments.functions]\nwhen = \"kernel == 'new'\"\n")
    plan = make_plan(_definition(text).experiment, Selection(only={}))
    assert {(trial.factors["kernel"], trial.guest.instruments) for trial in plan} == {
        ("old", ()),
        ("new", ("functions",)),
    }
    every = make_plan(_definition(text).experiment, Selection({}, instruments=("functions",)))
    assert {trial.guest.instruments for trial in every} == {("functions",)}


def test_plugins_are_the_forks_alone() -> None:
    files = Files(NOWHERE, NOWHERE, NOWHERE)
    plain = argv(Machine(), files, Ports(monitor=3, agent=4))
    watched = argv(Machine(), files, Ports(monitor=3, agent=4), plugins=("a.so,out=x",))
    assert [word for word in watched if word not in plain] == ["-plugin", "a.so,out=x"]


def _experiment(more: str) -> str:
    return EXPERIMENT.replace("[workload]", f"{more}\n[workload]")


def _definition(text: str) -> Definition:
    return parse("made", NOWHERE, text)


def watched_run(folder: Path, rows: Sequence[tuple[str, int, int]], entered: int) -> RunDirectory:
    """A run in each trial of which functions made so many calls and executed so much."""
    run = SyntheticRun(folder, LINE).write()
    manifest = read_manifest(run)
    where = {"phase": "done", "window": "cost"}
    for planned in manifest.plan:
        write_observations(
            run,
            planned.id,
            {
                "functions.csv": [
                    {
                        **where,
                        "cpu": 0,
                        "space": "kernel",
                        "function": name,
                        "calls": calls,
                        "instructions": instructions,
                    }
                    for name, calls, instructions in rows
                ],
                "windows.csv": [
                    {**where, "entered": entered, "instructions": 0, "uncertain": 0},
                ],
            },
        )
    write_tables(run, manifest)
    return run


@pytest.fixture
def two_runs(tmp_path: Path) -> tuple[RunDirectory, RunDirectory]:
    before = watched_run(tmp_path / "a", [("fault", 10, 5000), ("walk.isra.0", 10, 200)], 20)
    after = watched_run(
        tmp_path / "b", [("fault", 10, 5020), ("walk", 10, 200), ("clock", 10, 410)], 20
    )
    return before, after


def test_what_changed_by_function(two_runs: tuple[RunDirectory, RunDirectory]) -> None:
    found = compare_functions(*two_runs)
    assert len(found) == 6
    for window in found:
        assert (window.phase, window.times) == ("done", (20, 20))
        assert window.change == pytest.approx(21.5)
        changes = [(one.function, one.change) for one in window.functions]
        assert changes == [("clock", 20.5), ("fault", 1.0), ("walk", 0.0)]
    assert found[0].arm == "kernel=old size=1"
    (per,) = {window.change for window in compare_functions(*two_runs, per="fault")}
    assert per == pytest.approx(43)

    console = Console(width=80, color_system=None)
    with console.capture() as captured:
        console.print(function_changes(found))
    assert "clock" in captured.get()
    assert "+20.5" in captured.get()
    assert "walk" not in captured.get()
    rows = list(csv.DictReader(io.StringIO(function_changes_csv(found))))
    assert len(rows) == 18
    assert rows[0]["function"] == "clock"


def test_runs_that_cannot_be_compared_by_function(
    two_runs: tuple[RunDirectory, RunDirectory], tmp_path: Path
) -> None:
    plain = SyntheticRun(tmp_path / "plain", LINE).write()
    with pytest.raises(UserError, match=r"has no table of functions.csv") as error:
        compare_functions(two_runs[0], plain)
    assert "--instrument functions" in (error.value.hint or "")
    with pytest.raises(UserError, match="no call of nobody"):
        compare_functions(*two_runs, per="nobody")


def test_what_was_seen_is_in_the_run(two_runs: tuple[RunDirectory, RunDirectory]) -> None:
    run, _ = two_runs
    table = read_table(run, "functions.csv")
    assert list(table.columns[:5]) == ["run", "trial", "kernel", "size", "phase"]
    assert len(table) == 12
    assert len(window_bars(run)) == 6
    first = window_bars(run)[0]
    assert (first.bars[0].function, first.bars[0].instructions) == ("fault", "250.00")
    (run.observations / f"{table['trial'][0]}.functions.csv.gz").write_bytes(b"torn")
    with pytest.raises(UserError, match="is damaged"):
        write_tables(run, read_manifest(run))


WALKS = """\
count tiny 0 other user access - - 7
count tiny 1 cost user reference 0 memory 5
count tiny 1 cost user reference 3 L1 2
end
"""


def test_reads_what_the_model_writes(scene: Scene, tmp_path: Path) -> None:
    path = tmp_path / "page-walks.out"
    path.write_text(WALKS)
    found = page_walks.INSTRUMENT.read(path, scene)["page_walks.csv"]
    assert [tuple(row.values()) for row in found] == [
        ("only", "tiny", "other", "user", "access", "", "", 7),
        ("(end)", "tiny", "cost", "user", "reference", "PTE", "memory", 5),
        # With four levels the fourth is the PGD.
        ("(end)", "tiny", "cost", "user", "reference", "PGD", "L1", 2),
    ]
    for text, message in (
        (WALKS.removesuffix("end\n"), "cut off"),
        ("", "cut off"),
        ("counts tiny 0\nend\n", "not a line"),
        (WALKS.replace(" 7", " x"), "page-walks"),
    ):
        path.write_text(text)
        with pytest.raises(UnreadableObservation, match=message):
            page_walks.INSTRUMENT.read(path, scene)


def test_a_kernel_that_moves_its_map_of_memory(scene: Scene, tmp_path: Path) -> None:
    config = tmp_path / "config"
    kernel = replace(scene.kernel, config=config)
    config.write_text("CONFIG_RANDOMIZE_BASE=y\n")
    words = page_walks.INSTRUMENT.arguments(replace(scene, kernel=kernel))
    assert words[-2:] == ["direct=ffff888000000000", "levels=4"]
    assert [word.split(":")[0] for word in words[:-2]] == ["machine=ice-lake-sp", "machine=zen-3"]
    config.write_text("CONFIG_RANDOMIZE_MEMORY=y\n")
    with pytest.raises(UserError, match="moves that"):
        page_walks.INSTRUMENT.arguments(replace(scene, kernel=kernel))


def test_instruments_that_need_types_get_a_kernel_with_them() -> None:
    experiment = _definition(EXPERIMENT).experiment

    def variants(selection: Selection) -> set[str | None]:
        return {trial.guest.kernel.variant for trial in make_plan(experiment, selection)}

    assert variants(Selection({})) == {None}
    assert variants(Selection({}, instruments=("functions",))) == {None}
    assert variants(Selection({}, instruments=("page-tables", "coverage"))) == {"debug-info"}
    assert variants(Selection({}, variant="debug-info")) == {"debug-info"}
