# SPDX-License-Identifier: Apache-2.0
"""Where the kernel source comes from.

==========================  ====================================================================
``--source``                meaning
==========================  ====================================================================
(nothing)                   the newest Debian package ``linux-source-<base of the series>``
``debian:BASE[=VERSION]``   that package, of whatever Debian suite has the newest, or that version
``URL#sha256=HEX``          a tarball (``https``, ``http``, ``file``) with exactly this digest
``DIR``                     the user's own tree, built out of tree as is, never written to;
                            one that `driver patch checkout` made: built from a snapshot of it
==========================  ====================================================================
"""

from __future__ import annotations

from driver.errors import UserError
from driver.kernel.checkout import find
from driver.kernel.sources import checkout, directory, package, tarball
from driver.kernel.sources.source import (
    SPECS,
    KernelSource,
    base_of,
    debian_base,
    is_directory_spec,
    kernel_version,
)
from driver.paths import expanded
from driver.progress import Reporter
from driver.store import Store


def obtain(store: Store, spec: str | None, base: str, reporter: Reporter) -> KernelSource:
    """The source that ``--source`` asks for, fetched and unpacked if it is not in the cache.

    ``base`` ("6.12") chooses the Debian package when ``spec`` is None. Raises
    :class:`UserError` for a source that cannot be what was meant and
    :class:`~driver.errors.HostError` for one that cannot be fetched.
    """
    if spec is None:
        return package.obtain(store, base, None, reporter)
    if not spec:  # a variable of a script that was not set; not the current directory
        raise UserError("--source is empty", hint=SPECS)
    if is_directory_spec(spec):
        tree = expanded(spec).resolve()
        return checkout.obtain(store, tree) or directory.obtain(tree)
    if spec.startswith("debian:"):
        wanted, _, version = spec.removeprefix("debian:").partition("=")
        return package.obtain(store, wanted, version or None, reporter)
    return tarball.obtain(store, spec, reporter)


def base_of_spec(spec: str) -> str | None:
    """The base ("6.12") of a source as far as it can be known without fetching it."""
    if is_directory_spec(spec):
        return base_of(kernel_version(expanded(spec).resolve()))
    return debian_base(spec)


def check(store: Store, spec: str | None, base: str) -> None:
    """Raise :class:`UserError` for a source that is unavailable, if that is known offline."""
    if spec is None:
        package.check(store, base, None)
    elif not spec:
        raise UserError("--source is empty", hint=SPECS)
    elif is_directory_spec(spec):
        tree = expanded(spec).resolve()
        if find(tree) is None:  # a checkout is built from a snapshot, whatever is built in it
            directory.check(tree)
    elif spec.startswith("debian:"):
        wanted, _, version = spec.removeprefix("debian:").partition("=")
        package.check(store, wanted, version or None)
    else:
        tarball.parse(spec)
