/* SPDX-License-Identifier: GPL-2.0 */
/*
 * dax-probe: is this file really mapped by DAX, in entries of 2 MiB?
 *
 * Mounting with -o dax=always succeeds on devices that cannot do DAX, and a DAX file whose extents
 * are not aligned is silently mapped by 4 KiB entries. So check three things: the mount options, the
 * inode (STATX_ATTR_DAX), and the page tables: reading every 2 MiB of the file once must take
 * exactly that many faults and leave exactly that many huge entries, none of them the zero page
 * that replaces extents not yet written. The file does not change.
 *
 * Exit status 0 if all hold; 1 with the reason otherwise.
 */
#include <mntent.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "lib/window.h"

static void check_mount(const struct stat *file)
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	struct mntent *mount;
	struct stat root;

	if (!mounts)
		trial_fail("/proc/self/mounts: %s", strerror(errno));
	while ((mount = getmntent(mounts)) != NULL) {
		const char *option;

		if (stat(mount->mnt_dir, &root) || root.st_dev != file->st_dev)
			continue;
		/* ext4 says "dax=always" too; before 5.8 both said "dax". */
		option = hasmntopt(mount, "dax");
		if (!option || strncmp(option, "dax=always", strlen("dax=always")))
			trial_fail("dax-probe: %s (%s on %s) is mounted without dax=always: %s",
				   mount->mnt_dir, mount->mnt_type, mount->mnt_fsname,
				   mount->mnt_opts);
		endmntent(mounts);
		return;
	}
	trial_fail("dax-probe: no mount holds device %u:%u", major(file->st_dev),
		   minor(file->st_dev));
}

static void check_inode(const char *path)
{
	struct statx file;

	if (statx(AT_FDCWD, path, 0, STATX_BASIC_STATS, &file))
		trial_fail("dax-probe: statx of %s: %s", path, strerror(errno));
	if (!(file.stx_attributes_mask & STATX_ATTR_DAX))
		trial_fail("dax-probe: the file system of %s does not support DAX", path);
	if (!(file.stx_attributes & STATX_ATTR_DAX))
		trial_fail("dax-probe: DAX is off for %s: the device does not support it "
			   "(a namespace that is not fsdax) or the mount turned it off",
			   path);
}

static void check_faults(const char *path, int fd, size_t length)
{
	const long expected = length / HUGE_ENTRY;
	/* Aligned by hand: not every kernel aligns file mappings by itself. */
	void *place = window_place(length, WINDOW_NEAR);
	void *at = window_map(place, length, fd, 0, PROT_READ, MAP_SHARED, HUGE_ENTRY);
	struct window_entries entries;
	long faults;

	trial_prefault();
	faults = trial_minor_faults();
	window_touch(at, length, HUGE_ENTRY, false);
	faults = trial_minor_faults() - faults;
	entries = window_entries(at, length);
	if (entries.zero)
		trial_fail("dax-probe: %s: %ld of %ld entries map the zero page: the file has "
			   "holes or extents that were never written",
			   path, entries.zero, expected);
	if (entries.huge != expected || entries.small)
		trial_fail("dax-probe: %s: reading every 2 MiB once left %ld entries of 2 MiB and "
			   "%ld of 4 KiB instead of %ld of 2 MiB: its extents are not aligned to "
			   "2 MiB, or the kernel cannot map them so",
			   path, entries.huge, entries.small, expected);
	if (faults != expected)
		trial_fail("dax-probe: %s: reading every 2 MiB once took %ld faults instead of %ld",
			   path, faults, expected);
	printf("dax-probe: %s: %ld faults, %ld entries of 2 MiB\n", path, faults, entries.huge);
}

int main(int argc, char **argv)
{
	const char *path;
	const struct option_row rows[] = {
		OPTION_OPERAND("FILE", &path, "file of at least 2 MiB"),
	};
	struct stat file;
	int fd;

	options_parse(argc, argv, "Check that a file is mapped by DAX, in entries of 2 MiB.", rows,
		      ARRAY_SIZE(rows));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &file))
		trial_fail("dax-probe: %s: %s", path, strerror(errno));
	if (file.st_size < (off_t)HUGE_ENTRY)
		trial_fail("dax-probe: %s is smaller than 2 MiB", path);
	check_mount(&file);
	check_inode(path);
	check_faults(path, fd, file.st_size / HUGE_ENTRY * HUGE_ENTRY);
	return 0;
}
