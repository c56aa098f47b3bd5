#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Install what this project needs on a Debian machine: packages named in debian-packages.txt and a
# Python environment with exactly the versions and hashes of requirements.lock.
# Usage: setup.sh [VENV]. Safe to run again: what is there is not installed twice.
set -euo pipefail
cd "$(dirname "$0")"
venv=${1:-.venv}

say() { printf '==> %s\n' "$*" >&2; }

missing_packages() {
    local package
    while read -r package; do
        [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
            echo "$package"
    done < <(grep -vE '^[[:space:]]*(#|$)' debian-packages.txt)
}

install_packages() {
    local -a missing apt
    mapfile -t missing < <(missing_packages)
    [ ${#missing[@]} -gt 0 ] || return 0
    apt=(apt-get)
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || {
            say "these Debian packages are missing and there is no sudo; as root, run:"
            say "  apt-get update && apt-get install --no-install-recommends ${missing[*]}"
            exit 3
        }
        apt=(sudo apt-get)
    fi
    say "installing ${#missing[@]} Debian packages: ${missing[*]}"
    "${apt[@]}" update -q
    DEBIAN_FRONTEND=noninteractive "${apt[@]}" install -q -y --no-install-recommends "${missing[@]}"
}

make_environment() {
    local pip="$venv/bin/python -m pip --disable-pip-version-check -q"
    say "making the Python environment in $venv"
    /usr/bin/python3 -m venv --clear "$venv"
    # The lock file has every version with its hashes; the project itself is then linked in place.
    $pip install --require-hashes -r requirements.lock
    $pip install --no-deps --no-build-isolation -e .
}

if ! command -v dpkg-query >/dev/null; then
    say "this is not a Debian system: install the equivalents of debian-packages.txt yourself"
else
    install_packages
fi
make_environment
