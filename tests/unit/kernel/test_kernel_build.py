# SPDX-License-Identifier: Apache-2.0
"""From a request to an artifact, with a real make and compiler on a small fake kernel."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import typer
from conftest import Recorder, write_series

from driver.artifacts import KernelArtifact
from driver.cli import build as build_command
from driver.errors import HostError, UserError
from driver.kernel import build_kernel, toolchain
from driver.kernel.kbuild import first_error
from driver.project import Project
from driver.results.guest_record import KernelProvenance
from driver.store import Store

NO_RULE = "make[2]: *** No rule to make target 'mm/gone.o', needed by 'mm/built-in.a'. Stop."
MEMORY = "0002-mm-leave-no-pages.patch"


class Builder:
    """Builds in one store and tells what was compiled."""

    def __init__(self, store: Store, project: Project) -> None:
        self.store, self.project = store, project
        self.recorder = Recorder()

    def __call__(
        self, source: str, series: str | None = None, variant: str | None = None
    ) -> KernelArtifact:
        self.recorder = Recorder()
        return build_kernel(
            self.store,
            self.project,
            source=source,
            series=series,
            variant=variant,
            jobs=2,
            reporter=self.recorder,
        )

    @property
    def compiled(self) -> list[str]:
        """The objects of the last build, from its progress."""
        return sorted(Path(label.split()[-1]).name for _, _, label in self._objects)

    @property
    def _objects(self) -> list[tuple[int, int | None, str]]:
        return [update for update in self.recorder.updates if update[2].startswith("objects")]


@pytest.fixture
def build(store: Store, project: Project) -> Builder:
    return Builder(store, project)


def snapshot(tree: Path) -> dict[str, tuple[int, int]]:
    """Every path below ``tree`` with its size and modification time."""
    return {str(path): (os.lstat(path).st_size, os.lstat(path).st_mtime_ns) for path in
            sorted(tree.rglob("*"))}  # fmt: skip


class TestArtifact:
    def test_has_what_a_guest_needs(self, build: Builder, tarball: str) -> None:
        kernel = build(tarball)
        assert kernel.release == "6.12.1-two"
        assert "CONFIG_FEATURE=y" in kernel.config.read_text()
        assert "  CC      mm/feature.o" in kernel.build_log.read_text()
        assert b"feature" in sh_bytes("nm", kernel.vmlinux)
        assert kernel.bzimage.read_bytes()[:2] == b"\x1f\x8b"
        assert kernel.provenance["objects"] == 3
        record = KernelProvenance.model_validate(kernel.provenance)
        assert record.model_dump() == kernel.provenance, "what a manifest holds is all of it"

    def test_baseline_lacks_the_series(self, build: Builder, tarball: str) -> None:
        kernel = build(tarball, "none")
        assert kernel.release == "6.12.1"
        assert b"feature" not in sh_bytes("nm", kernel.vmlinux)

    def test_variant(self, build: Builder, tarball: str) -> None:
        kernel = build(tarball, variant="debug")
        assert kernel.release == "6.12.1-two-debug"
        assert b"numa_distance" in sh_bytes("nm", kernel.vmlinux)

    def test_second_time_nothing_runs(self, build: Builder, tarball: str) -> None:
        first = build(tarball)
        assert build(tarball) == first
        assert (build.recorder.steps, build.compiled) == ([], [])

    def test_same_inputs_same_bytes_anywhere(
        self, tmp_path: Path, project: Project, tarball: str
    ) -> None:
        kernels = [Builder(Store(tmp_path / name), project)(tarball) for name in ("one", "other")]
        assert kernels[0].vmlinux.read_bytes() == kernels[1].vmlinux.read_bytes()
        assert kernels[0].bzimage.read_bytes() == kernels[1].bzimage.read_bytes()
        assert kernels[0].digest == kernels[1].digest

    def test_a_comment_in_a_fragment_changes_nothing(
        self, build: Builder, tarball: str, fragments: Path
    ) -> None:
        first = build(tarball)
        machine = fragments / "machine.config"
        machine.write_text("# the machine\n" + machine.read_text())
        assert build(tarball).digest == first.digest
        machine.write_text(machine.read_text() + "CONFIG_NUMA=y\n")
        assert build(tarball).digest != first.digest

    def test_debug_information_is_kept_beside_not_inside(self, build: Builder, tree: Path) -> None:
        makefile = tree / "Makefile"
        makefile.write_text(makefile.read_text().replace("-c -MMD", "-g -c -MMD"))
        kernel = build(str(tree))
        assert kernel.provenance["debug_info"] is True
        whole = kernel.vmlinux.with_name("vmlinux.debug")
        assert b".debug_info" in sh_bytes("readelf", "-SW", whole)
        assert b".debug_info" not in sh_bytes("readelf", "-SW", kernel.vmlinux)
        assert b"memory_init" in sh_bytes("nm", kernel.vmlinux)


class TestIncremental:
    def test_an_edited_patch_recompiles_what_it_touches(
        self, build: Builder, tarball: str, project: Project
    ) -> None:
        first = build(tarball)
        assert build.compiled == ["feature.o", "main.o", "memory.o"]
        patch = project.patches / "two/6.12" / MEMORY
        patch.write_text(patch.read_text().replace("pages = -1;", "pages = -2;"))
        second = build(tarball)
        assert build.compiled == ["memory.o"]
        assert second.digest != first.digest
        assert first.vmlinux.is_file()  # the old artifact is still there, and still itself
        assert first.vmlinux.read_bytes() != second.vmlinux.read_bytes()

    def test_progress_learns_its_total(self, build: Builder, tarball: str) -> None:
        build(tarball, "none")
        assert "total estimated" in build.recorder.updates[-1][2]
        build(tarball, variant="debug")
        objects = (update for update in build.recorder.updates if update[2].startswith("objects"))
        done, total, label = next(objects)
        assert (done, total) == (1, 2)
        assert "as another build had" in label


class TestUserTree:
    def test_is_built_as_it_stands_and_not_touched(self, build: Builder, repository: Path) -> None:
        memory = repository / "mm/memory.c"
        memory.write_text(memory.read_text().replace("pages = 0;", "pages = 5;"))
        before = snapshot(repository)
        kernel = build(str(repository))
        assert snapshot(repository) == before
        assert kernel.release == "6.12.1"
        assert build(str(repository)).digest == kernel.digest
        assert build.recorder.steps == []

    def test_one_line_edit_recompiles_one_object(self, build: Builder, repository: Path) -> None:
        first = build(str(repository))
        memory = repository / "mm/memory.c"
        memory.write_text(memory.read_text().replace("pages = 0;", "pages = 5;"))
        second = build(str(repository))
        assert build.compiled == ["memory.o"]
        assert second.digest != first.digest

    def test_clean_checkout_shares_the_artifact_of_the_tarball(
        self, build: Builder, repository: Path, tarball: str
    ) -> None:
        kernel = build(tarball, "none")
        assert build(str(repository)).digest == kernel.digest
        assert build.compiled == []

    def test_a_series_with_it_gives_its_configuration_only(
        self, build: Builder, repository: Path
    ) -> None:
        kernel = build(str(repository), "two")
        assert "CONFIG_FEATURE=y" in kernel.config.read_text()
        assert kernel.provenance["series"] == {"name": "two", "base": "6.12", "patches": []}
        (note,) = build.recorder.notes
        assert "built as is" in note

    def test_an_edit_during_the_build_is_noticed(self, build: Builder, repository: Path) -> None:
        makefile = repository / "Makefile"
        makefile.write_text(
            makefile.read_text().replace("@gzip", "@echo 'int late;' > mm/late.c; gzip")
        )
        with pytest.raises(UserError, match="changed while it was being built"):
            build(str(repository))
        assert not list((build.store.root / "kernel").glob("*"))


class TestFailure:
    def test_compile_error_names_file_and_line(
        self, build: Builder, tarball: str, project: Project
    ) -> None:
        patch = project.patches / "two/6.12" / MEMORY
        patch.write_text(patch.read_text().replace("pages = -1;", "pagse = -1;"))
        with pytest.raises(HostError) as caught:
            build(tarball)
        assert re.fullmatch(
            r"the kernel does not build: mm/memory\.c:\d+: .pagse. undeclared .*",
            caught.value.message,
        )
        excerpt = str(caught.value.excerpt)
        assert "In function" in excerpt
        assert "|         pagse = -1;" in excerpt.replace("\t", "        ")
        assert caught.value.log is not None
        assert "pagse" in caught.value.log.read_text()
        # Once fixed, it continues where it stopped.
        patch.write_text(patch.read_text().replace("pagse = -1;", "pages = -1;"))
        assert build(tarball).release == "6.12.1-two"
        assert "memory.o" in build.compiled
        assert "main.o" not in build.compiled

    def test_dropped_symbol_stops_before_compiling(
        self, build: Builder, tarball: str, project: Project
    ) -> None:
        (project.patches / "two/6.12/feature.config").write_text("CONFIG_FEATUER=y\n")
        with pytest.raises(UserError, match="CONFIG_FEATUER was requested"):
            build(tarball)
        assert build.compiled == []

    def test_wrong_base(self, build: Builder, tarball: str, project: Project) -> None:
        write_series(project.patches / "two/6.12", base="6.12.10")
        with pytest.raises(UserError, match=r"is for Linux 6\.12\.10"):
            build(tarball)
        (project.patches / "two/6.12").rename(project.patches / "two/6.13")
        write_series(project.patches / "two/6.13")
        with pytest.raises(UserError, match=r"two does not exist for Linux 6\.12"):
            build(tarball)

    def test_missing_tools_are_listed_together(self, monkeypatch: pytest.MonkeyPatch) -> None:
        absent = {"flex", "ld"}
        monkeypatch.setattr("shutil.which", lambda name: None if name in absent else name)
        with pytest.raises(HostError, match="not installed: ld, flex") as caught:
            toolchain.identify()
        hint = str(caught.value.hint)
        assert hint.startswith("Install them: sudo apt-get install binutils flex (")
        assert "driver doctor" in hint


class TestFirstError:
    TREE = Path("/src/linux")

    @pytest.mark.parametrize(
        ("log", "where", "excerpt"),
        [
            (
                "  CC      mm/a.o\n"
                "In file included from /src/linux/include/linux/mm.h:3,\n"
                "                 from /src/linux/mm/a.c:1:\n"
                "/src/linux/include/linux/x.h:7:1: fatal error: y.h: No such file or directory\n"
                "    7 | #include <y.h>\n"
                "      |          ^~~~~\n"
                "compilation terminated.\n"
                "make[3]: *** [scripts/Makefile.build:229: mm/a.o] Error 1\n",
                "include/linux/x.h:7: y.h: No such file or directory",
                "In file included from include/linux/mm.h:3,\n"
                "                 from mm/a.c:1:\n"
                "include/linux/x.h:7:1: fatal error: y.h: No such file or directory\n"
                "    7 | #include <y.h>\n"
                "      |          ^~~~~",
            ),
            (
                "  LD      vmlinux.o\n"
                "ld: mm/dax.o: in function `f':\n"
                "dax.c:(.text+0x1): undefined reference to `share_detach'\n"
                "make[2]: *** [scripts/Makefile.vmlinux:34: vmlinux] Error 1\n",
                "dax.c:(.text+0x1): undefined reference to `share_detach'",
                "ld: mm/dax.o: in function `f':\n"
                "dax.c:(.text+0x1): undefined reference to `share_detach'",
            ),
            (
                f"{NO_RULE}\nmake[1]: *** [/src/linux/Makefile:1945: mm] Error 2\n",
                NO_RULE,
                NO_RULE,
            ),
        ],
    )
    def test_recorded_logs(self, log: str, where: str, excerpt: str) -> None:
        assert first_error(log, self.TREE) == (where, excerpt)

    def test_a_warning_is_no_error(self) -> None:
        assert first_error("mm/a.c:1:2: warning: unused variable\n", self.TREE) is None


class TestCommand:
    """The command's own promises; errors are printed by driver.cli.main."""

    @pytest.fixture
    def run(self, project: Project, store: Store, monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
        monkeypatch.setenv("DRIVER_PROJECT", str(project.root))
        monkeypatch.setenv("DRIVER_CACHE", str(store.root))
        app = typer.Typer(pretty_exceptions_enable=False)
        app.callback()(lambda: None)
        build_command.register(app)
        return app

    def test_json_has_the_paths(
        self, run: typer.Typer, tarball: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        run(["build", "kernel", "--source", tarball, "--json"], standalone_mode=False)
        captured = capsys.readouterr()
        built = json.loads(captured.out)
        for name in ("bzimage", "vmlinux", "config", "log"):
            assert Path(built[name]).is_file(), name
        assert built["release"] == "6.12.1-two"
        assert captured.err == ""

    @pytest.mark.parametrize(
        ("arguments", "complaint"),
        [
            (["image", "--jobs", "2"], "--jobs does not apply to `driver build image`"),
            (["kernel", "--image", "dax"], "--image does not apply to `driver build kernel`"),
        ],
    )
    def test_no_option_is_silently_ignored(
        self,
        run: typer.Typer,
        arguments: list[str],
        complaint: str,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        with pytest.raises(SystemExit) as caught:
            run(["build", *arguments])
        assert caught.value.code == 2
        assert complaint in " ".join(capsys.readouterr().err.split())


def sh_bytes(*argv: str | Path) -> bytes:
    return subprocess.run(argv, capture_output=True, check=True).stdout
