# SPDX-License-Identifier: Apache-2.0
"""The configuration file: a person's defaults, so that they need not be typed.

``config.toml`` in the user's configuration directory for ``dax-pagetable-driver`` (or the file that
``DRIVER_CONFIG`` names; an empty value means none)::

    cache-folder = "/big/disk/driver" # as DRIVER_CACHE, which goes before it
    cache-limit = "20G"               # as DRIVER_CACHE_LIMIT
    project = "~/src/dax-pagetables"  # where no project is found by itself
    quiet = true                      # options of `driver` itself, such as
    qemu = "/opt/qemu-10/bin/qemu-system-x86_64"  # as DRIVER_QEMU, which goes before it
    [build]                           # options of `driver build`, by their long names
    jobs = 8
    [run.experiment]                  # and so on, for every command
    accel = "tcg"

What may be in it is read off the commands themselves; what is given on the command line wins.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from platformdirs import user_config_path

from driver.errors import UserError
from driver.paths import expanded
from driver.text import reason

_log = logging.getLogger(__name__)

VARIABLE = "DRIVER_CONFIG"
# Keys that stand for an environment variable.
ENVIRONMENT = {"cache-folder": "DRIVER_CACHE", "cache-limit": "DRIVER_CACHE_LIMIT"}
PROJECT = "project"
MANUAL = "docs/how-to/set-defaults.md describes the file."


def location() -> Path | None:
    """Where the file is, or would be; None if there is to be none."""
    named = os.environ.get(VARIABLE)
    if named is not None:
        return expanded(named) if named else None
    return user_config_path("dax-pagetable-driver") / "config.toml"


def log_location() -> None:
    """Log which file the defaults are from; they are loaded before it is known what to log."""
    path = location()
    if path is not None and path.exists():
        _log.info("defaults from %s", path)


def load(command: Any) -> dict[str, Any]:
    """The defaults for a tree of commands, as ``default_map`` takes them.

    Sets what stands for environment variables that are not set, and leaves ``project`` in the map.
    Raises :class:`UserError` naming the line of the first mistake.
    """
    path = location()
    if path is None or (not path.exists() and VARIABLE not in os.environ):
        return {}
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {reason(error)}", hint=MANUAL) from error
    # Few have the file, and checking it takes pydantic, which takes longer than everything else.
    from driver.cli import settings_schema  # noqa: PLC0415

    values = settings_schema.check(path, text, command, keys=(*ENVIRONMENT, PROJECT), manual=MANUAL)
    for key, variable in ENVIRONMENT.items():
        if key in values:
            os.environ.setdefault(variable, str(expanded(values[key])))
    return _by_parameter(command, values)


def _by_parameter(command: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """The same values under the names that the commands' functions have for them."""
    commands = getattr(command, "commands", {})
    names = {
        option.removeprefix("--"): parameter.name
        for parameter in command.params
        for option in parameter.opts
    }
    return {
        names.get(key, key): _by_parameter(commands[key], value) if key in commands else value
        for key, value in values.items()
    }
