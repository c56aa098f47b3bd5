#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Compile mm/ and fs/ of a kernel tree in configurations that the driver never boots, to check that a
# series breaks no other configuration. Objects only, nothing is linked.
# Usage: build-matrix.sh TREE OUT [NAME...]   (TREE as `driver patch checkout` makes it)
set -euo pipefail

tree=$(realpath "$1")
out=$(realpath -m "$2")
shift 2
on="FS_DAX FS_DAX_SHARE_PAGE_TABLES"
# What sharing needs, on a configuration small enough to compile in minutes.
dax="SMP NR_CPUS=8 BLOCK XFS_FS DAX ZONE_DEVICE MEMORY_HOTPLUG MEMORY_HOTREMOVE SPARSEMEM_VMEMMAP"
dax+=" PROC_FS PROC_PAGE_MONITOR SYSCTL FTRACE EVENT_TRACING"

# name | ARCH | compiler prefix | base | enabled | disabled
matrix() {
    cat <<EOF
allnoconfig   | x86_64 |                    | allnoconfig | | |
on            | x86_64 |                    | allnoconfig | $dax $on TRANSPARENT_HUGEPAGE HUGETLBFS | |
off           | x86_64 |                    | allnoconfig | $dax FS_DAX TRANSPARENT_HUGEPAGE HUGETLBFS | FS_DAX_SHARE_PAGE_TABLES |
no-hugetlbfs  | x86_64 |                    | allnoconfig | $dax $on TRANSPARENT_HUGEPAGE | HUGETLBFS |
no-thp        | x86_64 |                    | allnoconfig | $dax $on HUGETLBFS | TRANSPARENT_HUGEPAGE |
few-cpus      | x86_64 |                    | allnoconfig | $dax $on TRANSPARENT_HUGEPAGE NR_CPUS=2 | |
i386          | i386   |                    | allnoconfig | $dax FS_DAX TRANSPARENT_HUGEPAGE HUGETLBFS | |
arm64         | arm64  | aarch64-linux-gnu- | allnoconfig | $dax FS_DAX TRANSPARENT_HUGEPAGE HUGETLBFS | |
EOF
}

# Kconfig may drop a symbol that was requested: what each row must have in the end.
expected() {
    case $1 in on | no-hugetlbfs | no-thp) echo y ;; *) echo n ;; esac
}

compile() {
    local name=$1 arch=$2 prefix=$3 base=$4 symbol sharing
    local make=(make -s -C "$tree" O="$out/$name" ARCH="$arch" CROSS_COMPILE="$prefix" -j "$(nproc)")
    mkdir -p "$out/$name"
    "${make[@]}" "$base"
    local config=("$tree/scripts/config" --file "$out/$name/.config")
    for symbol in 64BIT MULTIUSER $5; do
        case "$arch/$symbol" in i386/64BIT) continue ;; esac
        case $symbol in
        *=*) "${config[@]}" --set-val "${symbol%=*}" "${symbol#*=}" ;;
        *) "${config[@]}" --enable "$symbol" ;;
        esac
    done
    for symbol in $6; do "${config[@]}" --disable "$symbol"; done
    "${make[@]}" olddefconfig
    sharing=$("${config[@]}" --state FS_DAX_SHARE_PAGE_TABLES)
    [ "$sharing" = y ] || sharing=n
    [ "$sharing" = "$(expected "$name")" ] || {
        echo "$name: FS_DAX_SHARE_PAGE_TABLES is $sharing" >&2
        return 1
    }
    "${make[@]}" KCFLAGS=-Werror prepare mm/ fs/
    printf '%-14s sharing=%s  %4d objects\n' "$name" "$sharing" \
        "$(find "$out/$name/mm" "$out/$name/fs" -name '*.o' ! -name built-in.o | wc -l)"
}

failed=0
while IFS='|' read -r name arch prefix base enabled disabled _; do
    name=${name// /}
    [ $# -eq 0 ] || [[ " $* " == *" $name "* ]] || continue
    # In the background: with `||` behind a function, bash ignores `set -e` inside it.
    compile "$name" "${arch// /}" "${prefix// /}" "${base// /}" "$enabled" "$disabled" &
    wait $! || {
        echo "$name: failed" >&2
        failed=1
    }
done < <(matrix)
exit "$failed"
