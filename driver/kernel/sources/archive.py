# SPDX-License-Identifier: Apache-2.0
"""The kernel sources in Debian's suites, through an apt state of the driver's own.

A Debian 12 or 13 machine knows the suites that it is installed from; the newest kernels are in
others. So apt is given a configuration, package lists and a list of sources below
``<store>/apt``, as mmdebstrap does it: no root, and nothing of the machine's own changes. Mirrors
and keyring are the host's (:mod:`driver.kernel.sources.mirror`); apt checks signatures, dates and
checksums as always. Every suite has the same priority there, so that apt's candidate is the
newest version of all.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from driver.apt import policies, versions_in
from driver.atomic_write import write_atomically
from driver.errors import HostError
from driver.kernel.sources.mirror import mirror_of
from driver.kernel.sources.source import numeric
from driver.process import CommandFailed, explaining, run, stream
from driver.progress import Reporter
from driver.store import Store

# For hints: what to do without Debian's archive.
ELSEWHERE = "Without Debian's archive use --source DIR or --source URL#sha256=HEX."

# Releases whose suites carry a kernel of 6.12 or newer, and where development happens.
_RELEASES = ("bookworm", "trixie")
SUITES = {
    "debian": (
        *(f"{name}{suffix}" for name in _RELEASES for suffix in ("", "-backports")),
        "testing",
        "unstable",
        "experimental",
    ),
    "debian-security": tuple(f"{name}-security" for name in _RELEASES),
}
# Debian's archive is updated four times a day; 42 MB the first time, then what has changed.
_FRESH_SECONDS = 24 * 3600
# After a failure (no network) the lists that are there serve for as long.
_RETRY_SECONDS = 3600
_PACKAGE = re.compile(r"linux-source-(?P<base>\d+\.\d+)")
_OUTCOME = re.compile(r"^(?:E|W|Err): ?(.*)$", re.M)

# Hooks of the host's configuration are for its own lists. The pins of the host do not count here.
_CONFIG = """\
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
APT::Architecture "amd64";
APT::Architectures {{ "amd64"; }};
APT::Sandbox::User "";
Acquire::http::Timeout "20";
Acquire::https::Timeout "20";
Dir::State "{folder}";
Dir::State::lists "{folder}/lists";
Dir::State::status "{folder}/status";
Dir::Cache "{folder}/cache";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Dir::Etc::sourcelist "{folder}/debian.sources";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "{folder}/preferences";
Dir::Etc::preferencesparts "/dev/null";
APT::Update::Error-Mode "any";
"""
_PREFERENCES = "Package: *\nPin: release *\nPin-Priority: 500\n"
_HINT = (
    "Check the network and the mirrors in /etc/apt; `sudo apt-get install debian-archive-keyring` "
    "brings the keys of newer releases. Elsewhere use --source DIR or --source URL#sha256=HEX."
)
_NO_MIRROR = (
    "Name one with the component main in /etc/apt/sources.list.d/debian.sources. Without one use "
    "--source DIR or --source URL#sha256=HEX."
)


class NotFetched(HostError):
    """apt cannot fetch a package: without a network, or because it has left the archive."""


@dataclass(frozen=True)
class Offer:
    """A version of ``linux-source-BASE`` and the suites that carry it."""

    base: str
    version: str
    suites: tuple[str, ...]

    @property
    def package(self) -> str:
        return f"linux-source-{self.base}"


@dataclass(frozen=True)
class Catalogue:
    """What is available: per base newest first, bases in ascending order.

    ``checked`` is when apt was last asked, in seconds since 1970; ``problem`` what it complained
    of then.
    """

    offers: tuple[Offer, ...] = ()
    checked: float = 0.0
    problem: str = ""

    @property
    def bases(self) -> list[str]:
        return list(dict.fromkeys(offer.base for offer in self.offers))

    def of(self, base: str) -> list[Offer]:
        return [offer for offer in self.offers if offer.base == base]


def catalogue(store: Store, reporter: Reporter, *, refresh: bool = False) -> Catalogue:
    """The kernel sources of all suites; the network is asked once a day, or to ``refresh``.

    Raises :class:`HostError` when there is no list of any suite and none can be fetched; a suite
    that cannot be read, where others can, is a note.
    """
    with store.lock("apt", waiting_for="another driver reading Debian's package lists"):
        known = recorded(store)
        wait = _RETRY_SECONDS if known.problem else _FRESH_SECONDS
        if known.offers and not refresh and time.time() - known.checked < wait:
            return known
        return _update(store, reporter)


def recorded(store: Store) -> Catalogue:
    """What :func:`catalogue` last found, without the network; empty if it was never asked."""
    try:
        record = json.loads(_record(store).read_text(encoding="utf-8"))
        offers = tuple(
            Offer(**{**each, "suites": tuple(each["suites"])}) for each in record["offers"]
        )
        return Catalogue(offers, float(record["checked"]), str(record["problem"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Catalogue()


def versions(
    store: Store, suite: str, packages: Iterable[str], reporter: Reporter
) -> dict[str, str]:
    """The newest version of each package in a release and its updates; "" where there is none.

    Raises :class:`HostError` as :func:`catalogue`.
    """
    catalogue(store, reporter)
    with store.lock("apt", waiting_for="another driver reading Debian's package lists"):
        return versions_in(suite, packages, config=_configure(store))


def download(store: Store, offer: Offer, folder: Path) -> Path:
    """Fetch a package into a folder; apt has checked it when this returns its path.

    Raises :class:`NotFetched` with apt's words.
    """
    with store.lock("apt", waiting_for="another driver reading Debian's package lists"):
        config = _configure(store)
        wanted = f"{offer.package}={offer.version}"
        try:
            run(["apt-get", "-c", config, "download", wanted], cwd=folder, env={"LC_ALL": "C"})
        except CommandFailed as failure:
            raise NotFetched(
                f"cannot fetch {offer.package} {offer.version}",
                hint=f"Check the network. {ELSEWHERE}",
                excerpt=complaints(failure.output) or failure.output,
            ) from failure
    (package,) = folder.glob("*.deb")
    return package


def complaints(output: str) -> str:
    """What apt complained of, a line each."""
    return "\n".join(dict.fromkeys(match.strip() for match in _OUTCOME.findall(output)))


def _update(store: Store, reporter: Reporter) -> Catalogue:
    if shutil.which("apt-get") is None:
        raise HostError(
            "Debian's kernel packages need apt, which this machine does not have",
            hint="Name a source of your own: --source DIR or --source URL#sha256=HEX.",
        )
    reporter.step("Reading Debian's package lists")
    config, problem = _configure(store), ""
    log = config.with_name("update.log")
    log.unlink(missing_ok=True)

    def on_line(line: str) -> None:
        if line.startswith(("Get:", "Hit:")):
            reporter.progress(int(re.findall(r"\d+", line)[0]), None, line.split(" ", 1)[1])

    try:
        # The pipe is no terminal: apt prints a line for each file.
        stream(["apt-get", "-c", config, "update"], log=log, on_line=on_line, env={"LC_ALL": "C"})
    except CommandFailed as failure:
        problem = complaints(log.read_text(encoding="utf-8")) or failure.message
    found = Catalogue(tuple(_offers(config)), time.time(), problem)
    write_atomically(_record(store), json.dumps(asdict(found), indent=1))
    if problem and not found.offers:
        raise HostError(
            "cannot read the package lists of any Debian suite",
            hint=_HINT,
            excerpt=problem,
            log=log,
        )
    if problem:
        reporter.note(f"not all Debian suites could be read: {problem.splitlines()[0]} (see {log})")
    return found


def _offers(config: Path) -> Iterator[Offer]:
    with explaining("read the package lists that apt fetched"):
        names = run(["apt-cache", "-c", config, "pkgnames", "linux-source-"]).stdout.split()
    bases = [match["base"] for match in map(_PACKAGE.fullmatch, names) if match]
    ascending = sorted(bases, key=numeric)
    if not ascending:
        return
    known = policies([f"linux-source-{base}" for base in ascending], config=config)
    for base in ascending:
        for version, suites in known[f"linux-source-{base}"].versions:
            yield Offer(base, version, suites)


def _configure(store: Store) -> Path:
    """Write what apt reads; the path of its configuration.

    Raises :class:`HostError` if the host's sources name no mirror of Debian.
    """
    stanzas = list(_stanzas())
    if not stanzas:
        raise HostError("apt's sources on this machine name no mirror of Debian", hint=_NO_MIRROR)
    folder = (store.root / "apt").resolve()
    for name in ("lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "status").touch()
    texts = {
        "apt.conf": _CONFIG.format(folder=folder),
        "preferences": _PREFERENCES,
        "debian.sources": "\n".join(stanzas),
    }
    for name, text in texts.items():
        with contextlib.suppress(OSError):
            if (folder / name).read_text(encoding="utf-8") == text:
                continue
        write_atomically(folder / name, text)
    return folder / "apt.conf"


def _stanzas() -> Iterator[str]:
    for archive, suites in SUITES.items():
        mirror = mirror_of(archive)
        if mirror is None:
            continue
        signed_by = f"Signed-By: {mirror.signed_by}\n" if mirror.signed_by else ""
        yield (
            f"Types: deb\nURIs: {mirror.uri}\nSuites: {' '.join(suites)}\nComponents: main\n"
            f"Targets: Packages\n{signed_by}"
        )


def _record(store: Store) -> Path:
    return store.root / "apt/kernels.json"
