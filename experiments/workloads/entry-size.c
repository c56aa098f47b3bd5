/* SPDX-License-Identifier: GPL-2.0 */
/*
 * entry-size: by entries of which size is a file mapped, as a program finds it?
 *
 * Reads a byte of every page through a mapping that the kernel places, and reads its own page
 * tables back. What is behind the last whole 2 MiB of the file does not count.
 *
 * Phases: `before` and `touched`. Values: `huge`, `small` and `zero`, entries that map 2 MiB, 4 KiB
 * and the zero page that stands for a hole (which is one of the former, too); and `faults`.
 */
#include <sys/stat.h>

#include "lib/window.h"

int main(int argc, char **argv)
{
	const char *path;
	const struct option_row rows[] = {
		OPTION_TEXT("file", &path, NULL, "PATH", "the file, of 2 MiB or more"),
	};
	const pid_t self = getpid();
	struct window_entries entries;
	struct stat file;
	size_t length;
	long faults;
	void *at;
	int fd;

	options_parse(argc, argv, "Count the entries of page tables that map a file.", rows,
		      ARRAY_SIZE(rows));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &file))
		trial_fail("%s: %s", path, strerror(errno));
	length = file.st_size / HUGE_ENTRY * HUGE_ENTRY;
	if (!length)
		trial_fail("%s is smaller than 2 MiB", path);
	trial_prefault();
	at = window_map(NULL, length, fd, 0, PROT_READ, MAP_SHARED, HUGE_ENTRY);
	trial_phase("before", &self, 1);
	faults = trial_minor_faults();
	window_touch(at, length, SMALL_ENTRY, false);
	faults = trial_minor_faults() - faults;
	entries = window_entries(at, length);
	trial_phase("touched", &self, 1);
	trial_value("huge", "entries", entries.huge);
	trial_value("small", "entries", entries.small);
	trial_value("zero", "entries", entries.zero);
	trial_value("faults", "faults", faults);
	return 0;
}
