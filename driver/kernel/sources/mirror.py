# SPDX-License-Identifier: Apache-2.0
"""Where this host gets Debian from: its mirrors, and the keyring that it checks them with.

Whatever the host reads its sources from, one-line ``.list`` or deb822 ``.sources``, apt itself says
which mirrors they name, without root and without an index. The keyring is read from the files.
"""

from __future__ import annotations

import email
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from driver.process import explaining, run

_INDEX = re.compile(r"'(?P<uri>\S+?)/?/dists/(?P<suite>\S+?)/main/binary-[^']*'")
_ONE_LINE = re.compile(r"deb\s+\[(?P<options>[^]]*)\]\s+(?P<uri>\S+)\s")


@dataclass(frozen=True)
class Mirror:
    """A Debian archive; ``signed_by`` is a keyring or a key as sources have it, or empty for the
    keys that apt trusts for every archive.
    """

    uri: str
    signed_by: str


def mirror_of(archive: str) -> Mirror | None:
    """The host's mirror of ``debian`` or ``debian-security``; None if its sources name none.

    An archive is recognised by the directory that it has on every mirror; other packages for Debian
    have a suite of the same name, but not the component ``main`` in such a directory.
    """
    listed = run(["apt-get", "--print-uris", "update"], env={"LC_ALL": "C"}, check=False).stdout
    for match in _INDEX.finditer(listed):
        if archive in urlsplit(match["uri"]).path.split("/"):
            return Mirror(match["uri"], _signed_by(match["uri"]))
    return None


def _signed_by(uri: str) -> str:
    for path in _sources():
        try:
            text = path.read_text(encoding="utf-8")
        except OSError:
            continue
        entries = _deb822(text) if path.suffix == ".sources" else _one_line(text)
        for mirror, signed_by in entries:
            if _plain(mirror) == _plain(uri) and signed_by:
                return signed_by
    return ""


def _plain(uri: str) -> str:
    """A URI without slashes that apt may change: ``file:///x/`` becomes ``file:/x``."""
    scheme, _, rest = uri.partition(":")
    return f"{scheme}:{rest.strip('/')}"


def _sources() -> list[Path]:
    """The files that apt reads its sources from."""
    wanted = ("LIST", "Dir::Etc::sourcelist/f", "PARTS", "Dir::Etc::sourceparts/d")
    with explaining("find apt's lists of sources"):
        assignments = shlex.split(run(["apt-config", "shell", *wanted]).stdout)
    places = dict(word.split("=", 1) for word in assignments)
    parts = Path(places.get("PARTS", "/dev/null"))
    files = sorted(path for path in parts.glob("*") if path.suffix in (".list", ".sources"))
    return [Path(places.get("LIST", "/dev/null")), *files]


def _one_line(text: str) -> list[tuple[str, str]]:
    found = []
    for line in text.splitlines():
        if match := _ONE_LINE.match(line.strip()):
            options = dict(word.split("=", 1) for word in match["options"].split() if "=" in word)
            found.append((match["uri"], options.get("signed-by", "")))
    return found


def _deb822(text: str) -> list[tuple[str, str]]:
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    found = []
    for stanza in re.split(r"\n\s*\n", "\n".join(lines).strip()):
        fields = email.message_from_string(stanza)
        signed_by = str(fields.get("Signed-By", "")).strip()
        found += [(uri, signed_by) for uri in str(fields.get("URIs", "")).split()]
    return found
