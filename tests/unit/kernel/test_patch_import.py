# SPDX-License-Identifier: Apache-2.0
"""Series as mailing lists have them: what ``b4 am`` wrote, and what people save instead.

``tests/fixtures/mailbox`` is what b4 0.16 wrote (``b4 am -m thread.mbox``) of a thread that
``git format-patch -v2 --cover-letter --thread`` made of two commits on the miniature kernel.
"""

from __future__ import annotations

import email
import email.policy
import shutil
from pathlib import Path

import pytest
from conftest import Recorder, sh

from driver.errors import UserError
from driver.kernel import clone
from driver.kernel.importing import Imported, import_mails
from driver.kernel.mailbox import read
from driver.kernel.series import load
from driver.kernel.sources.spec import obtain
from driver.project import Project
from driver.store import Store

B4 = Path(__file__).parents[2] / "fixtures/mailbox"
MBOX = B4 / "v2_20261201_ann_count_better.mbx"


class Reader:
    """Someone who has mails and a project."""

    def __init__(self, store: Store, project: Project, tarball: str) -> None:
        self.store, self.project, self.tarball = store, project, tarball

    def take(self, path: Path, name: str | None = None) -> Imported:
        return import_mails(
            self.store, self.project, path, name=name, base=self.tarball, reporter=Recorder()
        )

    def refused(self, path: Path, name: str | None = None) -> str:
        """Why it is not taken; nothing is written."""
        before = sorted(self.project.patches.rglob("*"))
        with pytest.raises(UserError) as caught:
            self.take(path, name)
        assert sorted(self.project.patches.rglob("*")) == before
        return caught.value.message


@pytest.fixture
def reader(store: Store, project: Project, tarball: str) -> Reader:
    return Reader(store, project, tarball)


@pytest.fixture
def mails(tmp_path: Path) -> list[bytes]:
    """The two mails of the mailbox, without their envelope."""
    content = MBOX.read_bytes().split(b"From git@z Thu Jan  1 00:00:00 1970\n")[1:]
    return [part.rstrip(b"\n") + b"\n" for part in content]


def mbox(path: Path, mails: list[bytes]) -> Path:
    envelope = b"From git@z Thu Jan  1 00:00:00 1970\n"
    path.write_bytes(b"\n".join(envelope + mail for mail in mails))
    return path


class TestWhatB4Wrote:
    @pytest.mark.parametrize("path", [MBOX, B4], ids=["file", "directory"])
    def test_becomes_a_series(self, reader: Reader, path: Path) -> None:
        done = reader.take(path)
        assert done.name == "count-better"
        assert done.patches == ("0001-feature-count-to-two.patch", "0002-mm-leave-no-pages.patch")
        series = load(reader.project, "count-better")
        assert [patch.name for patch in series.patches] == list(done.patches)
        cover = (done.folder / "0000-cover-letter.txt").read_text()
        assert cover.startswith("Subject: count better\n\nWhy it is better.\n")

    def test_can_be_checked_out(self, reader: Reader, tmp_path: Path) -> None:
        reader.take(MBOX, "two-more")
        source = obtain(reader.store, reader.tarball, "6.12", Recorder())
        made = clone.make(
            reader.store, reader.project, series=load(reader.project, "two-more"), source=source,
            folder=tmp_path / "work", reporter=Recorder(),
        )  # fmt: skip
        log = sh("git log --format='%an <%ae>: %s|%b' base..", made.tree)
        assert log.startswith("Ann Author <ann@example.org>: mm: leave no pages|Grüße.\n\nSigned-")

    def test_is_written_as_the_driver_exports(self, reader: Reader) -> None:
        done = reader.take(MBOX)
        text = (done.folder / done.patches[0]).read_text()
        assert text.startswith(f"From {'0' * 40} Mon Sep 17 00:00:00 2001\n")
        assert "Subject: [PATCH] feature: count to two\n" in text


class TestOtherForms:
    def test_mails_in_any_order(self, reader: Reader, mails: list[bytes], tmp_path: Path) -> None:
        done = reader.take(mbox(tmp_path / "x.mbox", mails[::-1]))
        assert done.patches[0] == "0001-feature-count-to-two.patch"

    def test_a_maildir(self, reader: Reader, mails: list[bytes], tmp_path: Path) -> None:
        for folder in ("cur", "new", "tmp"):
            (tmp_path / "M" / folder).mkdir(parents=True)
        (tmp_path / "M/cur/1:2,S").write_bytes(mails[1])
        (tmp_path / "M/new/2").write_bytes(mails[0])
        assert len(reader.take(tmp_path / "M", "x").patches) == 2

    def test_patches_of_format_patch(self, reader: Reader, patches: Path) -> None:
        assert len(reader.take(patches, "x").patches) == 2

    def test_lines_that_end_in_cr(self, reader: Reader, mails: list[bytes], tmp_path: Path) -> None:
        for number, mail in enumerate(mails):
            (tmp_path / f"{number}.eml").write_bytes(mail.replace(b"\n", b"\r\n"))
        done = reader.take(tmp_path, "x")
        assert b"\r" not in (done.folder / done.patches[0]).read_bytes()

    @pytest.mark.parametrize("encoding", ["base64", "quoted-printable"])
    def test_encoded_mails(
        self, reader: Reader, mails: list[bytes], tmp_path: Path, encoding: str
    ) -> None:
        for number, mail in enumerate(mails):
            message = email.message_from_bytes(mail, policy=email.policy.default)
            message.set_content(message.get_content(), cte=encoding)
            (tmp_path / f"{number}.eml").write_bytes(message.as_bytes())
        assert len(reader.take(tmp_path, "x").patches) == 2

    def test_replies_are_left_out(self, reader: Reader, mails: list[bytes], tmp_path: Path) -> None:
        quoted = mails[0].replace(b"Subject: ", b"Subject: Re: ")
        assert len(reader.take(mbox(tmp_path / "x.mbx", [*mails, quoted])).patches) == 2


class TestWhatIsRefused:
    def test_half_a_series(self, reader: Reader, mails: list[bytes], tmp_path: Path) -> None:
        assert "lacks patch 1 of 2" in reader.refused(mbox(tmp_path / "x.mbx", mails[1:]))

    def test_a_patch_twice(self, reader: Reader, mails: list[bytes], tmp_path: Path) -> None:
        path = mbox(tmp_path / "x.mbx", [*mails, mails[0]])
        assert "holds patch 1 more than once" in reader.refused(path)

    def test_two_versions(self, reader: Reader, mails: list[bytes], tmp_path: Path) -> None:
        path = mbox(tmp_path / "x.mbx", [mails[0], mails[1].replace(b"PATCH v2", b"PATCH v3")])
        assert "several versions of a series: v2 and v3" in reader.refused(path)

    def test_two_series(self, reader: Reader, tmp_path: Path) -> None:
        for name in ("a.mbx", "b.mbx"):
            shutil.copy(MBOX, tmp_path / name)
        assert "holds several series: a.mbx, b.mbx" in reader.refused(tmp_path)

    def test_no_patch(self, reader: Reader, tmp_path: Path) -> None:
        cover = tmp_path / "x.mbx"
        shutil.copy(MBOX.with_suffix(".cover"), cover)
        assert "x.mbx holds no patch: 1 mail without a diff" in reader.refused(cover)
        (tmp_path / "empty").mkdir()
        assert "holds no mails" in reader.refused(tmp_path / "empty")
        assert "does not exist" in reader.refused(tmp_path / "nowhere")

    def test_what_does_not_apply(self, reader: Reader, mails: list[bytes], tmp_path: Path) -> None:
        changed = [mails[0], mails[1].replace(b"pages = 0;", b"pages = 7;")]
        refused = reader.refused(mbox(tmp_path / "x.mbx", changed))
        assert "patch 2, `mm: leave no pages`, does not apply to" in refused
        assert "mm/memory.c, hunk 1" in refused

    def test_a_message_that_would_be_cut(
        self, reader: Reader, mails: list[bytes], tmp_path: Path
    ) -> None:
        cut = mails[0].replace(b"Signed-off-by", b"---\nSigned-off-by", 1)
        assert "Signed-off-by in line" in reader.refused(mbox(tmp_path / "x.mbx", [cut, mails[1]]))

    @pytest.mark.parametrize(
        ("name", "message"),
        [("two", "there is a series two for Linux 6.12 already"), ("A B", "cannot be the name"),
         ("none", "cannot be the name")],
    )  # fmt: skip
    def test_names(self, reader: Reader, name: str, message: str) -> None:
        assert message in reader.refused(MBOX, name)


def test_a_cover_letter_gives_the_title() -> None:
    posting = read(MBOX)
    assert posting.title == "count better"
    assert [mail.number for mail in posting.patches] == [1, 2]
    assert posting.patches[0].version == 2
