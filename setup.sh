#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Install what this project needs on a Debian machine: the packages named in debian-packages.txt and
# a Python environment with exactly the versions and hashes of requirements.lock.
# Usage: setup.sh [VENV]. Safe to run again: what is installed is not installed twice.
# Exit status: 0; 3 without sudo, with a package database that stays locked, without a Python that is
# new enough, or without its packages; else that of the program that failed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

# How long to wait for another package manager, and between two looks, in seconds.
APT_LOCK_TIMEOUT=${APT_LOCK_TIMEOUT:-120}
APT_LOCK_RETRY=${APT_LOCK_RETRY:-3}

# Debian's own, whatever else is first on PATH.
PYTHON=/usr/bin/python3

say() { printf '==> %s\n' "$*" >&2; }

missing_packages() {
    local package
    while read -r package; do
        [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
            echo "$package"
    done < <(grep -vE '^[[:space:]]*(#|$)' debian-packages.txt)
}

# Run apt-get with "$@"; while another process holds one of apt's or dpkg's locks, wait for it.
# apt's own DPkg::Lock::Timeout covers dpkg's locks only: `apt-get update` fails at once on the lock
# of /var/lib/apt/lists, and `install` on that of the downloaded archives. A new machine runs such a
# process by itself after its first boot (apt-daily.service).
apt_get() {
    local deadline=$((SECONDS + APT_LOCK_TIMEOUT)) waiting='' holder errors status
    local -a command=(env LC_ALL=C DEBIAN_FRONTEND=noninteractive apt-get "$@")
    [ "$(id -u)" -eq 0 ] || command=(sudo "${command[@]}")
    while true; do
        status=0
        { errors=$("${command[@]}" 2>&1 >&3) || status=$?; } 3>&1
        holder=$(grep -oE 'Could not get lock .*|Unable to acquire the dpkg .*' <<<"$errors") || true
        if [ "$status" -eq 0 ] || [ -z "$holder" ]; then
            [ -z "$errors" ] || printf '%s\n' "$errors" >&2 # warnings, or why it failed
            break
        fi
        holder=${holder%%$'\n'*}
        if [ "$SECONDS" -ge "$deadline" ]; then
            say "another package manager still runs after $APT_LOCK_TIMEOUT s: $holder"
            say "wait until it has finished, or end it; then run this again"
            status=3
            break
        fi
        [ -n "$waiting" ] ||
            say "waiting up to $APT_LOCK_TIMEOUT s for another package manager: $holder"
        waiting=yes
        sleep "$APT_LOCK_RETRY"
    done
    return "$status"
}

install_packages() {
    local -a missing
    mapfile -t missing < <(missing_packages)
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null; then
        say "cannot install Debian packages without root: there is no sudo. As root, run:"
        say "  apt-get update && apt-get install --no-install-recommends ${missing[*]}"
        return 3
    fi
    say "installing Debian packages: ${missing[*]}"
    apt_get update -q || return
    apt_get install -q -y --no-install-recommends "${missing[@]}"
}

make_environment() {
    local venv=$1
    local -a pip=("$venv/bin/python" -m pip --disable-pip-version-check -q)
    [ -x "$PYTHON" ] || {
        say "there is no $PYTHON: install Python 3.11 or newer with its venv module"
        return 3
    }
    "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
        say "Python 3.11 or newer is needed (Debian 12 has 3.11); this is $("$PYTHON" --version)"
        return 3
    }
    say "making the Python environment in $venv"
    "$PYTHON" -m venv --clear "$venv" || {
        say "$PYTHON cannot make the environment $venv; on Debian its module venv is in python3-venv"
        return 3
    }
    # The lock file has every version with its hashes; the project itself is then linked in place.
    "${pip[@]}" install --require-hashes -r requirements.lock || {
        say "pip cannot install the packages of requirements.lock; check the network, then run this again"
        return 3
    }
    "${pip[@]}" install --no-deps --no-build-isolation -e .
}

main() {
    if ! command -v dpkg-query >/dev/null; then
        say "this is not a Debian system: installing no packages. Once this is done, see what is"
        say "missing and how to install it: ${1:-.venv}/bin/driver doctor"
    else
        install_packages
    fi
    make_environment "${1:-.venv}"
}

# The tests read the functions without running them.
if [ "${BASH_SOURCE[0]}" = "$0" ]; then main "$@"; fi
