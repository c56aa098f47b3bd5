#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# prepare.sh data|base
#
# The same files twice: as programs write them, and in a directory whose files are allocated in
# whole 2 MiB. Nothing is preallocated. The database of SQLite has a guest of its own: all of it is
# written to the host's disk as well.
set -eu

provision-dax
for layout in plain hinted; do
	mkdir /mnt/dax/$layout
	[ $layout = plain ] || xfs_io -c "extsize 2m" /mnt/dax/$layout
	python3 /opt/real-programs/make_files.py "$1" /mnt/dax/$layout
done
javac -d /opt /opt/real-programs/Touch.java
# What is in the page cache is part of the template: no trial pays for reading a program first.
cat /usr/bin/rg /usr/bin/fio /usr/bin/qemu-system-x86_64 > /dev/null
sync
