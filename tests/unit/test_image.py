# SPDX-License-Identifier: Apache-2.0
"""Recipes, static programs, library closures and whole images, with packages of our own making."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from driver.errors import HostError, UserError
from driver.image import build_image, build_programs, libraries, packages, programs, recipe
from driver.image.builder import merged
from driver.image.folders import with_folders
from driver.progress import SilentReporter
from driver.project import Project
from driver.results.guest_record import ImageProvenance
from driver.store import Store

RECIPE = """
description = "an image for tests"
suite = "bookworm"
programs = ["programs"]
[packages]
tools = ["/bin/tool"]
[links]
"/usr/bin/tool" = ["other"]
"""

# Fakes of the three programs of Debian that the builder calls. The mmdebstrap among them knows one
# package, "tools", and unpacks the host's own `env` with its libraries under its name.
FAKES = {
    "apt-cache": """
[ "$1" = policy ] || exit 1
shift
for package; do
    [ "$package" = tools ] || continue
    version=${TOOLS_VERSION:-1.0-1}
    printf '%s:\\n  Installed: (none)\\n  Candidate: %s\\n' "$package" "$version"
    printf '  Version table:\\n     %s 500\\n' "$version"
    printf '        500 http://mirror.example/debian bookworm/main amd64 Packages\\n'
done
""",
    "apt-get": """
echo "deb http://mirror.example/debian bookworm main"
echo "deb http://mirror.example/debian bookworm-updates main"
echo "deb http://mirror.example/debian trixie main"
""",
    "mmdebstrap": """
echo "$@" >> "$FAKE_LOG"
for word; do
    case $word in
    --include=*) include=${word#--include=} ;;
    --extract-hook=*) hook=${word#--extract-hook=} ;;
    --*) ;;
    *) [ -n "$suite" ] && { [ -n "$root" ] && mirrors=$word || root=$word; } || suite=$word ;;
    esac
done
cat "$mirrors" >> "$FAKE_LOG"
[ "$include" = tools ] || { echo "E: Unable to locate package $include" >&2; exit 25; }
mkdir -p "$root/bin" "$root/usr/share/doc" "$root/var/cache/apt/archives"
cp "$(command -v env)" "$root/bin/tool"
for library in $(ldd "$root/bin/tool" | grep -o '/[^ ]*'); do
    mkdir -p "$root$(dirname "$library")"
    cp "$library" "$root$library"
done
touch "$root/usr/share/doc/unwanted" "$root/var/cache/apt/archives/tools.deb"
sh -c "$hook" exec "$root"
""",
    "dpkg-deb": """printf 'tools\\t%s\\n' "${TOOLS_VERSION:-1.0-1}" """,
}

needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "fakes"
    folder.mkdir()
    for name, text in FAKES.items():
        (folder / name).write_text("#!/bin/sh\n" + text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setattr(packages, "STATE", (tmp_path / "lists",))
    (tmp_path / "lists").mkdir()
    log = tmp_path / "mmdebstrap.log"
    log.touch()
    monkeypatch.setenv("FAKE_LOG", str(log))
    return log


@pytest.fixture
def project(tmp_path: Path) -> Project:
    root = tmp_path / "project"
    for folder in ["kernel-patches", "guest-images/mini/overlay/etc", "experiments", "programs"]:
        (root / folder).mkdir(parents=True)
    (root / "guest-images/mini/recipe.toml").write_text(RECIPE)
    (root / "guest-images/mini/overlay/etc/motd").write_text("hello\n")
    (root / "guest-images/mini/overlay/init").symlink_to("usr/bin/init")
    (root / "programs/init.c").write_text('#include "status.h"\nint main(void) { return STATUS; }')
    (root / "programs/status.h").write_text("#define STATUS 7\n")
    return Project(root)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache")


def entry_names(initramfs: Path) -> set[str]:
    """The names in a newc archive, read by walking its headers."""
    data, offset = initramfs.read_bytes(), 0
    names: set[str] = set()
    while True:
        size, name_size = (int(data[offset + at : offset + at + 8], 16) for at in (54, 94))
        name = data[offset + 110 : offset + 110 + name_size - 1].decode()
        if name == "TRAILER!!!":
            return names
        names.add(name)
        offset += -(-(110 + name_size) // 4) * 4 + -(-size // 4) * 4


@needs_gcc
def test_an_image_holds_what_the_recipe_names_and_nothing_else(
    fakes: Path, project: Project, store: Store
) -> None:
    image = build_image(store, project, "mini")
    names = entry_names(image.initramfs)
    assert {"init", "etc/motd", "usr/bin/init", "usr/bin/tool", "usr/bin/other", "bin"} <= names
    assert any("libc.so" in name for name in names)
    assert "usr/share/doc/unwanted" not in names
    assert image.provenance["packages"] == {"tools": "1.0-1"}
    record = ImageProvenance.model_validate(image.provenance)
    assert record.model_dump() == image.provenance, "what a manifest holds is all of it"
    assert "--mode=chrootless" in fakes.read_text()
    assert "deb http://mirror.example/debian bookworm-updates main" in fakes.read_text()
    assert "trixie" not in fakes.read_text()


@needs_gcc
def test_an_image_extends_another(fakes: Path, project: Project, store: Store) -> None:
    """What the other has, and what this recipe and its overlay add."""
    assert fakes.is_file()
    folder = project.images / "more"
    (folder / "overlay/etc").mkdir(parents=True)
    (folder / "overlay/etc/motd").write_text("more")
    (folder / "overlay/etc/added").write_text("added")
    (folder / "recipe.toml").write_text(
        'description = "more"\nextends = "mini"\n[links]\n"/usr/bin/other" = ["another"]\n'
    )
    image = build_image(store, project, "more")
    names = entry_names(image.initramfs)
    assert {"init", "usr/bin/tool", "usr/bin/other", "usr/bin/another", "etc/added"} <= names
    assert b"more" in image.initramfs.read_bytes()
    assert image.provenance["packages"] == {"tools": "1.0-1"}
    ImageProvenance.model_validate(image.provenance)
    # A change of the other is a change of this one.
    (project.images / "mini/overlay/etc/motd").write_text("changed")
    assert build_image(store, project, "more").digest != image.digest


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('extends = "more"', "image recipes extend each other: more -> more"),
        ('extends = "nimi"', "there is no image 'nimi'"),
        ('extends = "mini"\nsuite = "trixie"', "trixie cannot extend one of bookworm"),
        ("", "names neither the suite and packages"),
    ],
)
def test_an_image_that_cannot_extend(project: Project, text: str, message: str) -> None:
    folder = project.images / "more"
    folder.mkdir()
    (folder / "recipe.toml").write_text(f'description = "more"\n{text}\n')
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        recipe.load(project, "more")
    assert caught.value.hint


@needs_gcc
def test_folders_of_the_host_in_an_image(
    fakes: Path, project: Project, store: Store, tmp_path: Path
) -> None:
    assert fakes.is_file()
    folder = tmp_path / "built"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep/test").write_text("a test program")
    image, reporter = build_image(store, project, "mini"), SilentReporter()
    more = with_folders(store, image, {"/opt/mine": folder}, reporter)
    assert more.digest != image.digest
    assert b"opt/mine/deep/test\0" in more.initramfs.read_bytes()
    ImageProvenance.model_validate(more.provenance)
    assert with_folders(store, image, {"/opt/mine": folder}, reporter) == more
    assert with_folders(store, image, {}, reporter) is image
    with pytest.raises(UserError, match="is not a folder"):
        with_folders(store, image, {"/opt/mine": tmp_path / "absent"}, reporter)


@needs_gcc
def test_the_same_inputs_give_the_same_bytes_and_are_built_once(
    fakes: Path, project: Project, store: Store, tmp_path: Path
) -> None:
    first = build_image(store, project, "mini")
    called = fakes.read_text()
    assert build_image(store, project, "mini") == first
    assert fakes.read_text() == called
    elsewhere = build_image(Store(tmp_path / "elsewhere"), project, "mini")
    assert elsewhere.digest == first.digest
    assert elsewhere.initramfs.read_bytes() == first.initramfs.read_bytes()


@needs_gcc
def test_every_change_makes_another_image_and_only_packages_are_fetched(
    fakes: Path, project: Project, store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    digests = [build_image(store, project, "mini").digest]
    called = fakes.read_text()
    for path, text in [
        ("programs/status.h", "#define STATUS 8\n"),
        ("programs/more.c", "int main(void) { return 0; }"),
        ("guest-images/mini/overlay/etc/motd", "goodbye\n"),
        ("guest-images/mini/recipe.toml", RECIPE.replace("other", "another")),
    ]:
        (project.root / path).write_text(text)
        digests.append(build_image(store, project, "mini").digest)
    assert fakes.read_text() == called
    monkeypatch.setenv("TOOLS_VERSION", "1.0-1+deb12u1")
    (tmp_path / "lists/mirror_Packages").write_text("as after apt-get update")
    updated = build_image(store, project, "mini")
    assert updated.provenance["packages"] == {"tools": "1.0-1+deb12u1"}
    assert len({*digests, updated.digest}) == 6
    assert fakes.read_text() != called


def test_a_package_that_does_not_exist_is_reported_in_apts_words(
    fakes: Path, project: Project, store: Store
) -> None:
    path = project.images / "mini/recipe.toml"
    path.write_text(RECIPE.replace("tools =", "no-such-package ="))
    with pytest.raises(HostError, match="no-such-package") as caught:
        build_image(store, project, "mini")
    assert caught.value.excerpt == "E: Unable to locate package no-such-package"
    assert caught.value.log is not None
    assert caught.value.log.exists()


@needs_gcc
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('["/bin/tool"]', '["/bin/missing"]'), "no package of the image contains /bin/missing"),
        (('"/usr/bin/tool" =', '"/usr/bin/absent" ='), "links to /usr/bin/absent"),
        (('programs = ["programs"]', 'programs = ["nowhere"]'), "holds no C files"),
    ],
)
def test_a_recipe_that_asks_for_what_is_not_there(
    fakes: Path, project: Project, store: Store, change: tuple[str, str], message: str
) -> None:
    path = project.images / "mini/recipe.toml"
    path.write_text(RECIPE.replace(*change))
    with pytest.raises(UserError, match=message):
        build_image(store, project, "mini")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("suite = ", "Invalid value"),
        (
            RECIPE.replace("description", "decription"),
            r"recipe.toml:\d: decription: unknown key 'decription'",
        ),
        (RECIPE + "\ncolour = 'red'", "colour"),
        (RECIPE.replace('["/bin/tool"]', '["bin/tool"]'), "not an absolute path"),
        (RECIPE.replace('["/bin/tool"]', '["/bin/../tool"]'), "not a path inside the package"),
        (RECIPE.replace('["/bin/tool"]', '["/"]'), "not a path inside the package"),
        ('system = ["a b"]\n' + RECIPE, "system"),
        (RECIPE.replace('["other"]', '["a/b"]'), "not a plain name"),
        (RECIPE.replace("bookworm", "Bookworm!"), "suite"),
    ],
)
def test_a_mistake_in_a_recipe_is_one_clear_message(
    project: Project, text: str, message: str
) -> None:
    (project.images / "mini/recipe.toml").write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        recipe.load(project, "mini")
    assert "recipe.toml" in caught.value.message
    assert caught.value.hint


def test_an_unknown_image_names_the_known_ones(project: Project) -> None:
    with pytest.raises(UserError) as caught:
        recipe.load(project, "maxi")
    assert caught.value.hint == "Known: mini."


def test_this_projects_recipes_are_valid() -> None:
    project = Project(Path(__file__).parents[2])
    assert "dax" in recipe.names(project)
    for name in recipe.names(project):
        for folder in recipe.load(project, name).programs:
            assert programs.discover(project.root / folder)


def test_every_c_file_and_every_folder_of_them_is_a_program(tmp_path: Path) -> None:
    for name in ["one.c", "two/main.c", "two/part.c", "two/part.h", "lib/helper.c", "notes/a.txt"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = {program.name: len(program.sources) for program in programs.discover(tmp_path)}
    assert found == {"one": 1, "two": 2}
    (tmp_path / "two.c").touch()
    with pytest.raises(UserError, match=r"both two\.c and two/"):
        programs.discover(tmp_path)


@needs_gcc
def test_programs_hold_what_they_use_of_the_library(tmp_path: Path) -> None:
    folder, into = tmp_path / "programs", tmp_path / "into"
    (folder / "lib").mkdir(parents=True)
    into.mkdir()
    (folder / "lib/status.h").write_text("int status(void);\n")
    (folder / "lib/status.c").write_text('#include "status.h"\nint status(void) { return 7; }\n')
    (folder / "lib/unused.c").write_text('const char *unused(void) { return "dead weight"; }\n')
    (folder / "one.c").write_text('#include "lib/status.h"\nint main(void) { return status(); }\n')
    assert programs.compile_programs([folder], into) == ["one"]
    assert [path.name for path in into.iterdir()] == ["one"]
    assert subprocess.run([into / "one"], check=False).returncode == 7
    assert b"dead weight" not in (into / "one").read_bytes()


@needs_gcc
def test_what_decides_the_programs(tmp_path: Path) -> None:
    """Two folders of one name are ambiguous, and a change in one would be hidden by the other."""
    one, other = tmp_path / "one/programs", tmp_path / "other/programs"
    for folder in (one, other):
        folder.mkdir(parents=True)
        (folder / "shared.h").touch()
    before = programs.inputs([one])
    assert programs.inputs([other]) == before, "the place of a project does not count"
    (one / "shared.h").write_text("#define CHANGED\n")
    assert programs.inputs([one]) != before
    (other / "lib").mkdir()
    (other / "lib/helper.c").write_text("int helper;\n")
    assert programs.inputs([other]) != before
    with pytest.raises(UserError, match="two folders of programs are called 'programs'"):
        programs.inputs([one, other])


@needs_gcc
def test_a_compiler_error_is_shown(project: Project, store: Store) -> None:
    (project.root / "programs/init.c").write_text("int main(void) { return missing; }")
    with pytest.raises(HostError) as caught:
        build_programs(store, project.root / "programs")
    assert caught.value.excerpt is not None
    assert "init.c:1:25: error" in caught.value.excerpt


@needs_gcc
def test_a_variable_that_shadows_another_is_refused(project: Project, store: Store) -> None:
    (project.root / "programs/init.c").write_text(
        "int main(int argc, char **argv) { if (argv) { int argc = 1; return argc; } return argc; }"
    )
    with pytest.raises(HostError) as caught:
        build_programs(store, project.root / "programs")
    assert "-Werror=shadow" in (caught.value.excerpt or "")


@needs_gcc
@pytest.mark.parametrize(
    "folder", ["guest-images/programs", "experiments/workloads", "tests/guest"]
)
def test_this_projects_c_compiles(folder: str) -> None:
    """With the flags of the build, which make a warning an error."""
    from driver import process

    root = Path(__file__).parents[2] / folder
    for source in root.rglob("*.c"):
        process.run(["gcc", *programs.FLAGS, "-fsyntax-only", source.name], cwd=source.parent)


@pytest.mark.parametrize("program", ["races", "semantics", "stress"])
def test_the_makefiles_of_the_tests_are_as_strict(program: str) -> None:
    makefile = Path(__file__).parents[1] / "guest" / program / "Makefile"
    strict = next(line for line in makefile.read_text().splitlines() if line.startswith("STRICT"))
    assert {flag for flag in programs.FLAGS if flag.startswith("-W") and "," not in flag} <= {
        *strict.split()
    }


def test_libraries_follow_by_themselves(fakes: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    packages.unpack("bookworm", ["tools"], root, tmp_path / "log")
    found = libraries.closure(root, ["/bin/tool"])
    assert found[0] == "/bin/tool"
    assert any(path.endswith("/libc.so.6") for path in found)
    assert any("ld-linux" in path for path in found)
    for library in root.rglob("libc.so.6"):
        library.unlink()
    with pytest.raises(UserError, match=r"needs libc\.so\.6"):
        libraries.closure(root, ["/bin/tool"])


def test_a_mistyped_path_does_not_fetch_the_packages_again(
    fakes: Path, project: Project, store: Store
) -> None:
    path = project.images / "mini/recipe.toml"
    path.write_text(RECIPE.replace('["/bin/tool"]', '["/usr/share/tool"]'))
    with pytest.raises(UserError, match="contains /usr/share/tool") as caught:
        build_image(store, project, "mini")
    assert caught.value.hint == "They have /bin/tool."
    called = fakes.read_text()
    path.write_text(RECIPE)
    build_image(store, project, "mini")
    assert fakes.read_text() == called
    assert not any(store.scratch("unpacked").iterdir()), "they are kept for nothing"


def test_folders_and_patterns_are_kept_whole(tmp_path: Path) -> None:
    for name in ("lib/py/a.py", "lib/py/deep/b.py", "lib/py/c.so", "bin/[", "bin/x1", "bin/x2"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "lib/py/link.py").symlink_to("/lib/py/a.py")
    (tmp_path / "lib/py/lost.py").symlink_to("/etc/passwd")
    folder = ["/lib/py/a.py", "/lib/py/c.so", "/lib/py/deep/b.py", "/lib/py/link.py"]
    assert libraries.closure(tmp_path, ["/lib/py"]) == folder
    assert libraries.closure(tmp_path, ["/lib/py/"]) == folder
    assert libraries.closure(tmp_path, ["/lib/**/*.py"]) == [folder[0], *folder[2:]]
    assert libraries.closure(tmp_path, ["/bin/x*", "/bin/["]) == ["/bin/[", "/bin/x1", "/bin/x2"]
    with pytest.raises(UserError, match=r"contains /bin/y\*"):
        libraries.closure(tmp_path, ["/bin/y*"])


@needs_gcc
def test_a_library_may_lie_among_what_is_kept(tmp_path: Path) -> None:
    """In a folder that the loader does not look into by itself."""
    home = tmp_path / "opt/home"
    home.mkdir(parents=True)
    (tmp_path / "usr/bin").mkdir(parents=True)
    source = home / "own.c"
    source.write_text("int own(void) { return 0; }\n")
    library, program = home / "libown.so.1", tmp_path / "usr/bin/program"
    shared = ["gcc", "-nostdlib", "-shared", "-Wl,-soname,libown.so.1", "-o"]
    subprocess.run([*shared, library, source], check=True)
    source.write_text("int own(void);\nvoid _start(void) { own(); }\n")
    linked = ["gcc", "-nostdlib", "-Wl,--dynamic-linker=/opt/home/ld", "-o"]
    subprocess.run([*linked, program, source, library], check=True)
    source.rename(home / "ld")
    assert "/opt/home/libown.so.1" in libraries.closure(tmp_path, ["/usr/bin/program", "/opt/home"])
    with pytest.raises(UserError, match=r"needs libown\.so\.1"):
        libraries.closure(tmp_path, ["/usr/bin/program", "/opt/home/ld"])


def test_links_are_followed_inside_the_root_only(tmp_path: Path) -> None:
    (tmp_path / "usr").mkdir()
    (tmp_path / "usr/real").write_text("x")
    (tmp_path / "absolute").symlink_to("/usr/real")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "outside").symlink_to("/etc/passwd")
    assert libraries.locate(tmp_path, "/absolute") == tmp_path / "usr/real"
    assert libraries.locate(tmp_path, "/loop") is None
    assert libraries.locate(tmp_path, "/outside") is None


@pytest.mark.parametrize(
    ("path", "place"),
    [("/bin/sh", "/usr/bin/sh"), ("/usr/bin/sh", "/usr/bin/sh"), ("/etc/x", "/etc/x")],
)
def test_usr_is_merged(path: str, place: str) -> None:
    assert merged(path) == place
