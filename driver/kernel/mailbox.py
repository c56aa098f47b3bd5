# SPDX-License-Identifier: Apache-2.0
"""Patches as a mailing list has them: what ``b4 am`` or a mail program saved.

A file holds one mail or many; a directory is a Maildir or has one such file, or a file per mail.
"""

from __future__ import annotations

import email
import email.policy
import re
import shlex
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path

from driver.errors import UserError
from driver.kernel.git import git
from driver.process import explaining
from driver.text import counted, verb

_TAG = re.compile(r"^\[[^\]]*\bPATCH\b[^\]]*\]\s*")
_NUMBER = re.compile(r"\b(\d+)/(\d+)\b")
_VERSION = re.compile(r"\bv(\d+)\b", re.I)
_DIFF = re.compile(r"^(?:diff --git |--- \S.*\n\+\+\+ \S)", re.M)
_MBOXES = (".mbx", ".mbox")
_MAILS = (".patch", ".eml", ".mail")
_HINT = "Fetch the series with `b4 am MESSAGE-ID`, and import the file that it writes."


@dataclass(frozen=True)
class Mail:
    """A mail as it was stored. ``number`` of ``total`` is None if the subject does not say;
    ``subject`` is without its tag.
    """

    content: bytes
    subject: str
    text: str
    number: int | None = None
    total: int | None = None
    version: int = 1

    @property
    def has_diff(self) -> bool:
        return _DIFF.search(self.text) is not None


@dataclass(frozen=True)
class Posting:
    """The patches of a series in their order, and its cover letter if there is one."""

    patches: tuple[Mail, ...]
    cover: Mail | None = None

    @property
    def title(self) -> str:
        """What the series is about, in a line."""
        return (self.cover or self.patches[0]).subject


def read(path: Path) -> Posting:
    """The series that a file or a directory holds.

    Raises :class:`UserError` if it is no whole series, or more than one.
    """
    mails = [mail for file in _files(path) for mail in _split(file)]
    posted = [mail for mail in mails if not mail.subject.lower().startswith("re:")]
    patches = [mail for mail in posted if mail.has_diff]
    covers = [mail for mail in posted if mail.number == 0 and not mail.has_diff]
    if not patches:
        raise UserError(
            f"{path} holds no patch: {counted(len(mails), 'mail')} without a diff", hint=_HINT
        )
    _check_whole(path, patches)
    if patches[0].number is not None:
        patches.sort(key=lambda mail: mail.number or 0)
    return Posting(tuple(patches), covers[0] if covers else None)


def _check_whole(path: Path, patches: Sequence[Mail]) -> None:
    versions = sorted({mail.version for mail in patches})
    if len(versions) > 1:
        named = " and ".join(f"v{version}" for version in versions)
        raise UserError(f"{path} holds several versions of a series: {named}", hint=_HINT)
    numbers = [mail.number for mail in patches]
    totals = {mail.total for mail in patches}
    if totals == {None}:
        return
    if len(totals) > 1:
        raise UserError(f"{path} holds patches of several series", hint=_HINT)
    twice = sorted({str(number) for number in numbers if numbers.count(number) > 1})
    if twice:
        raise UserError(
            f"{path} holds {_numbered(twice)} more than once",
            hint=_HINT,
        )
    total = patches[0].total or 0
    missing = [str(number) for number in range(1, total + 1) if number not in numbers]
    if missing:
        raise UserError(
            f"{path} lacks {_numbered(missing)} of {total}",
            hint=_HINT,
        )


def _numbered(numbers: Sequence[str]) -> str:
    return f"{verb(len(numbers), 'patch', 'patches')} {', '.join(numbers)}"


def _files(path: Path) -> list[Path]:
    if path.is_file():
        cover = path.with_suffix(".cover")  # where `b4 am` puts it
        return [*([cover] if cover.is_file() and cover != path else []), path]
    if not path.is_dir():
        raise UserError(f"{path} does not exist", hint=_HINT)
    if (path / "cur").is_dir():
        return sorted(file for name in ("cur", "new") for file in (path / name).glob("*"))
    mboxes = sorted(file for file in path.iterdir() if file.suffix in _MBOXES)
    if len(mboxes) > 1:
        raise UserError(
            f"{path} holds several series: {', '.join(file.name for file in mboxes)}",
            hint=f"Name one of the files: driver patch import {shlex.quote(str(mboxes[0]))}",
        )
    if mboxes:
        return _files(mboxes[0])
    mails = sorted(file for file in path.iterdir() if file.suffix in _MAILS)
    if not mails:
        raise UserError(
            f"{path} holds no mails: no files named *{', *'.join((*_MBOXES, *_MAILS))}", hint=_HINT
        )
    return mails


def _split(file: Path) -> list[Mail]:
    """The mails of a file, cut apart by git as ``git am`` does."""
    escaped = ("--mboxrd",) if file.read_bytes().startswith(b"From mboxrd@z ") else ()
    with tempfile.TemporaryDirectory(prefix="driver-mails-") as folder:
        with explaining(f"split {file} into mails"):
            git(
                Path(folder), "mailsplit", "-b", "--keep-cr", *escaped, f"-o{folder}",
                file.resolve(),
            )  # fmt: skip
        return [_parse(part.read_bytes()) for part in sorted(Path(folder).iterdir())]


def _parse(content: bytes) -> Mail:
    message = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    subject = " ".join(str(message.get("subject", "")).split())
    tag = _TAG.match(subject)
    number = _NUMBER.search(tag[0]) if tag else None
    version = _VERSION.search(tag[0]) if tag else None
    return Mail(
        content=content,
        subject=subject[tag.end() :] if tag else subject,
        text="\n".join(_text(part) for part in message.walk() if not part.is_multipart()),
        number=int(number[1]) if number else None,
        total=int(number[2]) if number else None,
        version=int(version[1]) if version else 1,
    )


def _text(part: EmailMessage) -> str:
    payload = part.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload.decode("utf-8", errors="replace").replace("\r\n", "\n")
