# SPDX-License-Identifier: Apache-2.0
"""Build a guest image: packages pruned to a few files, our programs, an overlay; packed as cpio.

Separate artifacts, so that editing a C file does not fetch packages again: ``packages`` (the kept
files and the libraries they need), ``image`` (the initramfs) and, where a recipe wants one,
``system`` (:mod:`driver.image.system`). The same inputs give the same initramfs.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from driver import apt
from driver.artifacts import ImageArtifact
from driver.errors import HostError, UserError
from driver.image import cpio, libraries, packages, programs, recipe, system
from driver.image.recipe import Recipe
from driver.image.tree import tree
from driver.kernel.sources import archive
from driver.progress import Reporter, SilentReporter
from driver.project import Project
from driver.store import Artifact, Store, digest_of, tree_digest

# Debian merges /bin, /sbin and /lib* into /usr; packages of this suite still ship both spellings.
_MERGED = ("bin", "sbin", "lib", "lib64")
# Not compressed. To unpack 27 MB of gzip takes a guest 500 million instructions, three quarters of
# all it needs to boot, and to read them plain a tenth of that: 0.97 s of the host's processor under
# TCG instead of 1.32 s, up to the agent.
_INITRAMFS = "initramfs.cpio"
# Part of every image's identity: raise it when this package makes other bytes of the same inputs.
_FORMAT = 3


def build_image(
    store: Store, project: Project, name: str, reporter: Reporter | None = None
) -> ImageArtifact:
    """The image ``name`` of the project, built unless the store has it.

    Raises :class:`UserError` for a mistake in the recipe or in a C source folder,
    :class:`HostError` when packages cannot be fetched or a compiler fails.
    """
    reporter = reporter or SilentReporter()
    wanted = check_image(project, name)
    folders = _folders(project, wanted)
    kept = _kept_files(store, wanted, reporter)
    installed = _system(store, project, name, wanted, reporter)
    overlays = recipe.overlays(project, name)
    inputs = {
        "format": _FORMAT,
        "name": name,
        "recipe": wanted.model_dump(exclude={"extends", "system"}),
        "packages": kept.facts["versions"],
        "files": tree_digest(kept.path / "root"),
        "overlay": digest_of([tree_digest(overlay) for overlay in overlays]),
        "programs": programs.inputs(folders),
    }

    def make(work: Path) -> dict[str, object]:
        reporter.step(f"Building image {name}")
        total = sum(len(programs.discover(folder)) for folder in folders)
        compiled: list[str] = []

        def on_done(program: str) -> None:
            compiled.append(program)
            reporter.progress(len(compiled), total, program)

        binaries = work / "programs"
        binaries.mkdir()
        programs.compile_programs(folders, binaries, on_done)
        entries = {
            **tree(kept.path / "root"),
            **{f"/usr/bin/{path.name}": cpio.File(path, 0o755) for path in binaries.iterdir()},
        }
        for overlay in overlays:
            entries |= tree(overlay)
        _add_links(entries, wanted)
        cpio.write(work / _INITRAMFS, entries)
        shutil.rmtree(binaries)
        return {"programs": sorted(compiled), "bytes": (work / _INITRAMFS).stat().st_size}

    built = store.get("image", inputs, make)
    provenance = {"name": name, **inputs, **built.facts, "folders": {}, "system": None}
    if installed is None:
        return ImageArtifact(built.digest, name, built.path / _INITRAMFS, provenance)
    provenance["system"] = {
        "packages": sorted(wanted.system),
        "versions": installed.facts["versions"],
        "overlay": installed.inputs["overlay"],
        "digest": installed.digest,
    }
    return ImageArtifact(
        digest_of([built.digest, installed.digest]),
        name,
        built.path / _INITRAMFS,
        provenance,
        system.disk(installed),
    )


def check_image(project: Project, name: str) -> Recipe:
    """The recipe, its folders of C sources known to exist.

    Takes no time: mistakes are reported before packages are fetched or a kernel is compiled.
    """
    wanted = recipe.load(project, name)
    for folder in _folders(project, wanted):
        programs.discover(folder)
    return wanted


def _folders(project: Project, wanted: Recipe) -> list[Path]:
    return [project.root / folder for folder in wanted.programs]


def _kept_files(store: Store, wanted: Recipe, reporter: Reporter) -> Artifact:
    versions = _versions(store, wanted.suite, wanted.packages, reporter)
    inputs = {"suite": wanted.suite, "packages": wanted.packages, "versions": versions}

    def make(work: Path) -> dict[str, object]:
        with packages.unpacked(store, wanted.suite, versions, reporter) as fetched:
            files = [file for kept in wanted.packages.values() for file in kept]
            for path in libraries.closure(fetched.root, files):
                source = libraries.locate(fetched.root, path)
                assert source is not None
                target = work / "root" / merged(path).lstrip("/")
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, target)
            return {"versions": fetched.versions}

    return store.get("packages", inputs, make)


def _system(
    store: Store, project: Project, name: str, wanted: Recipe, reporter: Reporter
) -> Artifact | None:
    if not wanted.system:
        return None
    versions = _versions(store, wanted.suite, wanted.system, reporter)
    overlays = recipe.overlays(project, name, system=True)
    return system.build_system(store, wanted, versions, overlays, reporter)


def _versions(
    store: Store, suite: str, packages_: Iterable[str], reporter: Reporter
) -> dict[str, str]:
    """What a suite has, of which the host need not be installed.

    A new version there is a new image. A host that knows nothing of the suite asks the driver's own
    package lists, which are read once a day.
    """
    names = sorted(packages_)
    known = store.get(
        "candidates",
        {"packages": names, "suite": suite, "apt": packages.state_digest()},
        lambda _work: {"versions": apt.versions_in(suite, names)},
    )
    versions: dict[str, str] = known.facts["versions"]
    if not any(versions.values()):
        try:
            versions = archive.versions(store, suite, names, reporter)
        except HostError as error:  # mmdebstrap may know a mirror, or the packages are here already
            reporter.note(f"the newest packages of {suite} are not known: {error.message}")
    return versions


def merged(path: str) -> str:
    """Where a file lies once /bin, /sbin, /lib and /lib64 are links into /usr."""
    first, _, rest = path.lstrip("/").partition("/")
    return f"/usr/{first}/{rest}" if first in _MERGED else path


def _add_links(entries: dict[str, cpio.Entry], wanted: Recipe) -> None:
    for target, names in wanted.links.items():
        if target not in entries:
            raise UserError(
                f"recipe.toml links to {target}, which the image does not contain",
                hint="List the file under [packages], or correct the path (it lies below /usr).",
            )
        place = PurePosixPath(target)
        for name in names:
            entries.setdefault(str(place.parent / name), cpio.Link(place.name))
    for name in _MERGED:
        entries.setdefault(f"/{name}", cpio.Link(f"usr/{name}"))
