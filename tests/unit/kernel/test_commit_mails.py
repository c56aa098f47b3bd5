# SPDX-License-Identifier: Apache-2.0
"""Commits that become patches become the same commits again, or nothing is written."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import FAKE, Recorder, sh
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from driver.errors import UserError
from driver.kernel import clone
from driver.kernel.checkout import Checkout, find
from driver.kernel.commit_mails import note_of
from driver.kernel.export import export
from driver.kernel.git_am import check_message
from driver.kernel.series import load
from driver.kernel.sources.spec import obtain
from driver.project import Project
from driver.store import Store


def git(tree: Path, *arguments: str, stdin: bytes | None = None, **env: str) -> bytes:
    """What git prints, to the byte."""
    identity = {
        name: "x@example.org" if name.endswith("EMAIL") else "Ann Author"
        for name in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME",
                     "GIT_COMMITTER_EMAIL")
    }  # fmt: skip
    done = subprocess.run(
        ["git", "-C", tree, *arguments],
        input=stdin, check=True, capture_output=True,
        env={**os.environ, **identity, "GIT_CONFIG_GLOBAL": "/dev/null", **env},
    )  # fmt: skip
    return done.stdout


class Place:
    """A project, its cache and a checkout without patches, which the examples share."""

    def __init__(self, home: Path) -> None:
        self.home = home
        tarball = home / "linux-6.12.1.tar"
        sh(f"tar -cf {tarball} --transform 's,^fake-kernel,linux-6.12.1,' fake-kernel", FAKE.parent)
        digest = sh(f"sha256sum {tarball}", home).split()[0]
        self.project = Project(home / "project")
        (self.project.root / "kernel-patches").mkdir(parents=True)
        self.store = Store(home / "cache")
        self.source = obtain(self.store, f"file://{tarball}#sha256={digest}", "6.12", Recorder())
        self.tree = self.check_out("none", home / "work")

    def check_out(self, series: str, folder: Path) -> Path:
        made = clone.make(
            self.store, self.project, series=load(self.project, series), source=self.source,
            folder=folder, reporter=Recorder(),
        )  # fmt: skip
        return made.tree

    def export(self) -> None:
        found = find(self.tree)
        assert found is not None
        export(self.project, Checkout(self.tree, "none", found.source, found.project), "odd")

    def series(self) -> list[str]:
        return sorted(path.name for path in (self.project.patches).rglob("*"))

    def reset(self) -> None:
        git(self.tree, "reset", "--quiet", "--hard", "base")
        git(self.tree, "clean", "--quiet", "-ffdx")
        git(self.tree, "update-ref", "-d", "refs/notes/commits")
        shutil.rmtree(self.project.patches / "odd", ignore_errors=True)
        shutil.rmtree(self.home / "again", ignore_errors=True)

    def commit(self, message: bytes, *, note: str = "", **env: str) -> None:
        """Commit everything with a message of exactly these bytes."""
        git(self.tree, "add", "--all", "--force")
        tree = git(self.tree, "write-tree").decode().strip()
        made = git(self.tree, "commit-tree", "-p", "HEAD", tree, stdin=message, **env)
        git(self.tree, "reset", "--quiet", "--hard", made.decode().strip())
        if note:
            git(self.tree, "notes", "add", "-m", note, "HEAD")

    def content(self, tree: Path) -> list[tuple[bytes, ...]]:
        """Everything that must come back, of every commit since the base."""
        return [
            (
                git(tree, "rev-parse", f"{commit}^{{tree}}"),
                git(tree, "log", "-1", "--format=%an <%ae> %ad%n%B", "--date=raw", commit),
                git(tree, "log", "-1", "--format=%N", "--notes", commit),
            )
            for commit in git(tree, "rev-list", "--reverse", "base..HEAD").decode().split()
        ]

    def round_trip(self) -> str:
        """Export and check out again, and demand the same; the refusal, if it is refused."""
        before = self.series()
        try:
            self.export()
        except UserError as error:
            assert self.series() == before, "refused, and yet something was written"
            return error.message
        again = self.check_out("odd", self.home / "again")
        assert self.content(again) == self.content(self.tree)
        return ""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("mails"))


@pytest.fixture
def place(shared: Place) -> Iterator[Place]:
    shared.reset()
    yield shared
    shared.reset()


# Lines that mean something to git, to mail programs or to the tools of the list.
ODD = [
    "---", "--- ", "--- a/mm/memory.c", "-- ", "--", "----", "diff --git a/x b/x", "diff -u x y",
    "Index: x", "@@ -1 +1 @@", "+++ b/x", "From: Eve <eve@example.org>", "Date: yesterday",
    "Subject: other", "From 0123456789012345678901234567890123456789 Mon Sep 17 00:00:00 2001",
    ">From here", "-- >8 --", "[PATCH] again", "Signed-off-by: A <a@example.org>", "Notes:",
    "    Notes:", "", " ", "\t", "ends in CR\r", "Grüße", "#define X", "Content-Type: x", ".", "~",
]  # fmt: skip
LINES = st.one_of(
    st.sampled_from(ODD),
    st.text(st.characters(exclude_characters="\n\0", exclude_categories=["Cs"]), max_size=30),
)
SUBJECT = st.text("abcXYZ019 :,-[]()äé", min_size=1, max_size=70)
CONTENT = st.one_of(
    st.just(b""), st.just(b"a\r\nb\r\n"), st.just(b"no end of line"), st.just(b"\0binary\xff"),
    st.just(b"latin1 \xe9\n"), st.binary(max_size=60), st.just(b"From x\n--- a\n+++ b\n"),
)  # fmt: skip
NAME = st.sampled_from(
    ["mm/memory.c", "new", "with blank", "ü", "dir/new.c", "a*[b]", "mm/feature.c"]
)


@st.composite
def changes(draw: st.DrawFn) -> list[tuple[str, str, bytes]]:
    """What to do to which file, and with which bytes."""
    kind = st.sampled_from(["write", "remove", "mode", "rename", "link"])
    return draw(st.lists(st.tuples(kind, NAME, CONTENT), max_size=3))


def make(tree: Path, change: tuple[str, str, bytes]) -> None:
    kind, name, content = change
    path = tree / name
    if kind == "write":
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(content)
    elif kind == "link":
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        path.symlink_to("target")
    elif path.is_file() and not path.is_symlink():
        if kind == "remove":
            path.unlink()
        elif kind == "mode":
            path.chmod(path.stat().st_mode ^ 0o111)
        else:
            path.rename(path.with_name(f"{path.name}.moved"))


@pytest.mark.slow
@settings(
    max_examples=20, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(
    commits=st.lists(
        st.tuples(SUBJECT, st.lists(LINES, max_size=5), changes(), st.sampled_from(["", "why"])),
        min_size=1, max_size=3,
    )
)  # fmt: skip
def test_any_commits_come_back_or_are_refused(
    place: Place, commits: list[tuple[str, list[str], list[tuple[str, str, bytes]], str]]
) -> None:
    place.reset()
    for subject, lines, changed, note in commits:
        for change in changed:
            make(place.tree, change)
        message = "\n".join([subject, "", *lines]) + "\n"
        place.commit(message.encode(), note=note)
    place.round_trip()


PLAIN = st.lists(
    st.text("abcdefghijk XYZ.,:()'\"`<>|&%$=+*/0123456789äßé", max_size=70).map(str.rstrip),
    max_size=8,
).map(lambda lines: "\n".join(lines).strip("\n"))


@pytest.mark.slow
@settings(
    max_examples=15, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(body=PLAIN, changed=changes())
@example(body='A list:\n\n - one\n   two\n\nFixes: 0123456789ab ("x")\nCc: <a@b>', changed=[])
def test_nothing_ordinary_is_refused(
    place: Place, body: str, changed: list[tuple[str, str, bytes]]
) -> None:
    """A check that refuses everything would pass the test above."""
    place.reset()
    for change in changed:
        make(place.tree, change)
    (place.tree / "always").write_text("changed\n")
    lines = ["mm: change a thing", "", "It is for a reason.", body, "", "Signed-off-by: A <a@b.c>"]
    # As `git commit` does: no two empty lines, none at the end.
    place.commit(git(place.tree, "stripspace", stdin="\n".join(lines).encode()))
    assert place.round_trip() == ""


class TestRefusals:
    @pytest.mark.parametrize(
        "line", ["---", "diff --git a/x b/x", "Index: x", "--- a/x", "diff -u"]
    )
    def test_a_line_that_ends_the_message_is_named(self, place: Place, line: str) -> None:
        (place.tree / "new").touch()
        place.commit(f"one\n\ntwo\n{line}\nSigned-off-by: A <a@b.c>\n".encode())
        refused = place.round_trip()
        assert f"line 4 of its message, `{line}`, would end the message" in refused

    @pytest.mark.parametrize(
        ("message", "reason"),
        [
            (b"one\ntwo\n", "line 1 of its message would change"),
            (b"[PATCH v2] one\n", "line 1 of its message would change"),
            (b"one\n\nFrom: Eve <e@x.y>\n\nbody\n", "its author would change|message would change"),
            (b"one\n\ntwo\n\n\n", "message would change"),
        ],
    )
    def test_other_reasons(self, place: Place, message: bytes, reason: str) -> None:
        (place.tree / "new").touch()
        place.commit(message)
        assert re.search(reason, place.round_trip())


class TestWhatComesBack:
    def test_an_empty_commit(self, place: Place) -> None:
        place.commit(b"one: nothing\n\nfor now\n")
        assert place.round_trip() == ""

    def test_a_note(self, place: Place) -> None:
        (place.tree / "new").write_text("x\n")
        place.commit(b"one: x\n", note="v2: said why\n\ndiff --git is fine here")
        assert place.round_trip() == ""
        (patch,) = (place.project.patches / "odd/6.12").glob("*.patch")
        assert note_of(patch.read_bytes()) == b"v2: said why\n\ndiff --git is fine here\n"

    def test_a_message_in_another_encoding_is_the_same_text(self, place: Place) -> None:
        (place.tree / "new").write_text("x\n")
        git(place.tree, "add", "--all")
        git(place.tree, "-c", "i18n.commitEncoding=ISO-8859-1", "commit", "-q", "-F", "-",
            stdin="one: Grüße\n".encode("latin-1"))  # fmt: skip
        assert place.round_trip() == ""

    def test_bytes_that_are_no_text(self, place: Place) -> None:
        (place.tree / "new").write_text("x\n")
        place.commit(b"one: x\n\nlatin1 \xe9\n")
        assert place.round_trip() == ""

    def test_an_author_with_another_name_and_date(self, place: Place) -> None:
        (place.tree / "new").write_text("x\n")
        place.commit(
            b"one: x\n", GIT_AUTHOR_NAME="Åsa Öl, Jr.", GIT_AUTHOR_EMAIL="a@b.c",
            GIT_AUTHOR_DATE="1234567890 -0330",
        )  # fmt: skip
        assert place.round_trip() == ""

    def test_settings_and_notes_of_the_tree_are_left_alone(self, place: Place) -> None:
        (place.tree / "new").write_text("x\n")
        place.commit(b"one: x\n", note="mine")
        refs = git(place.tree, "for-each-ref")
        place.round_trip()
        assert git(place.tree, "for-each-ref") == refs
        assert git(place.tree, "worktree", "list").count(b"\n") == 1


class TestMails:
    HEAD = b"From: A <a@b.c>\nSubject: [PATCH] x\n\nwhy\n"
    DIFF = b"\n x | 1 +\ndiff --git a/x b/x\n"

    def test_a_sign_off_behind_the_end_is_refused(self) -> None:
        mail = self.HEAD + b"---\nmore\nSigned-off-by: A <a@b.c>\n---\n" + self.DIFF
        with pytest.raises(UserError, match=r"^x\.patch:5: `---` ends the message, .* line 7 "):
            check_message("x.patch", mail)

    @pytest.mark.parametrize(
        "text",
        [
            b"Signed-off-by: A <a@b.c>\n---\nv2: as B asked\nSigned-off-by: quoted\n",
            b"---\nv2: as B asked\n",
            b"\n",
        ],
    )
    def test_remarks_behind_the_end_are_not(self, text: bytes) -> None:
        check_message("x.patch", self.HEAD + text + self.DIFF + b"+Signed-off-by: in a file\n")
