/* SPDX-License-Identifier: GPL-2.0 */
/*
 * table-lifecycle: the life of one page table, from first use to last, in steps.
 *
 * Two processes and one GiB of a file. Each step is a case that sharing page tables must get right
 * and a phase of its own:
 *
 *	start		both exist, nothing is mapped
 *	new		the first maps the range and touches it: a table is made
 *	share		the second does the same: it may use the first one's table
 *	private-write	(with --private) the second writes one byte: from now on what it sees is
 *			its own, in that page
 *	unmap-shared	the second unmaps the range: the first must not notice
 *	unmap-last	the first unmaps it: the table goes
 *
 * Values at each step: the minor faults that the acting process took, and the entries present in
 * either process. What each sees is checked against what was written; a byte that is not as it
 * should be, or a fault of the first process after the second has left, ends with status 1.
 */
#include "lib/window.h"
#include "lib/workers.h"

enum { FIRST, SECOND };

enum { STEP_MAP, STEP_WRITE, STEP_LOOK, STEP_ENTRIES, STEP_UNMAP };

/* Where the second process writes once: in the middle of an entry, and off what is touched. */
#define MARK_OFFSET (300 * HUGE_ENTRY + 5 * SMALL_ENTRY + 7)

struct options {
	const char *file;
	size_t entry;
	int sharing;
	enum window_place place;
	int fd;
	void *at;
};

static struct worker_report work(size_t index, int step, const void *context)
{
	const struct options *options = context;
	struct worker_report report = { { 0 } };
	struct window_entries entries;
	static volatile unsigned char *at;
	long faults;

	switch (step) {
	case STEP_MAP:
		at = window_map(options->at, GIB, options->fd, 0, PROT_READ | PROT_WRITE,
				options->sharing, options->entry);
		faults = trial_minor_faults();
		window_touch((void *)at, GIB, HUGE_ENTRY, options->sharing == MAP_SHARED);
		report.numbers[0] = trial_minor_faults() - faults;
		break;
	case STEP_WRITE:
		faults = trial_minor_faults();
		at[MARK_OFFSET] = 'A' + (unsigned char)index;
		report.numbers[0] = trial_minor_faults() - faults;
		break;
	case STEP_LOOK:
		faults = trial_minor_faults();
		window_touch((void *)at, GIB, HUGE_ENTRY, false);
		report.numbers[1] = at[MARK_OFFSET];
		report.numbers[0] = trial_minor_faults() - faults;
		break;
	case STEP_ENTRIES:
		entries = window_entries((void *)at, GIB);
		report.numbers[1] = entries.huge;
		report.numbers[2] = entries.small;
		break;
	case STEP_UNMAP:
		if (munmap((void *)at, GIB))
			trial_fail("munmap: %s", strerror(errno));
		break;
	}
	return report;
}

static void report_entries(struct workers *workers, size_t who, const char *name)
{
	const long *found = workers_step_one(workers, who, STEP_ENTRIES);
	char value[64];

	snprintf(value, sizeof(value), "%s-huge-entries", name);
	trial_value(value, "count", found[1]);
	snprintf(value, sizeof(value), "%s-small-entries", name);
	trial_value(value, "count", found[2]);
}

static void expect_mark(struct workers *workers, size_t who, long expected, const char *when)
{
	long seen = workers_step_one(workers, who, STEP_LOOK)[1];

	if (seen != expected)
		trial_fail("%s: the %s process sees %ld, not %ld, at the mark", when,
			   who == FIRST ? "first" : "second", seen, expected);
}

/* The one byte that shows whose writes are seen by whom, through the file itself. */
static unsigned char mark_in_file(int fd)
{
	unsigned char byte;

	if (pread(fd, &byte, 1, MARK_OFFSET) != 1)
		trial_fail("reading the file: %s", strerror(errno));
	return byte;
}

static void parse(int argc, char **argv, struct options *options)
{
	bool is_private;
	const struct option_row rows[] = {
		OPTION_TEXT("file", &options->file, NULL, "PATH", "DAX file of at least 1 GiB"),
		OPTION_CHOICE("entry", &options->entry, "2M", window_entry_sizes, "entry size"),
		OPTION_FLAG("private", &is_private, "map privately"),
		OPTION_CHOICE("place", &options->place, "near", window_places, "where to map"),
	};

	options_parse(argc, argv, "One page table, from its first use to its last.", rows,
		      ARRAY_SIZE(rows));
	options->sharing = is_private ? MAP_PRIVATE : MAP_SHARED;
}

int main(int argc, char **argv)
{
	struct options options = { 0 };
	unsigned char original;
	struct workers workers;
	bool is_private;
	long faults;

	parse(argc, argv, &options);
	is_private = options.sharing == MAP_PRIVATE;
	options.fd = window_open(options.file, GIB, true);
	options.at = window_place(GIB, options.place);
	original = mark_in_file(options.fd);

	trial_prefault();
	workers_start(&workers, 2, work, &options);
	trial_phase("start", workers.pids, 2);

	faults = workers_step_one(&workers, FIRST, STEP_MAP)[0];
	trial_phase("new", workers.pids, 2);
	trial_value("minor-faults", "count", faults);
	report_entries(&workers, FIRST, "first");

	faults = workers_step_one(&workers, SECOND, STEP_MAP)[0];
	trial_phase("share", workers.pids, 2);
	trial_value("minor-faults", "count", faults);
	report_entries(&workers, FIRST, "first");
	report_entries(&workers, SECOND, "second");

	if (is_private) {
		faults = workers_step_one(&workers, SECOND, STEP_WRITE)[0];
		trial_phase("private-write", workers.pids, 2);
		trial_value("minor-faults", "count", faults);
		report_entries(&workers, FIRST, "first");
		report_entries(&workers, SECOND, "second");
		expect_mark(&workers, SECOND, 'A' + SECOND, "after a private write");
		expect_mark(&workers, FIRST, original, "after a private write by the other");
		if (mark_in_file(options.fd) != original)
			trial_fail("a private write reached the file");
	} else {
		workers_step_one(&workers, SECOND, STEP_WRITE);
		expect_mark(&workers, FIRST, 'A' + SECOND, "after a shared write by the other");
	}

	workers_step_one(&workers, SECOND, STEP_UNMAP);
	trial_phase("unmap-shared", workers.pids, 2);
	report_entries(&workers, FIRST, "first");
	faults = workers_step_one(&workers, FIRST, STEP_LOOK)[0];
	trial_value("minor-faults", "count", faults);
	if (faults)
		trial_fail("the first process took %ld faults because the second unmapped", faults);
	expect_mark(&workers, FIRST, is_private ? original : 'A' + SECOND,
		    "after the other unmapped");

	workers_step_one(&workers, FIRST, STEP_UNMAP);
	trial_phase("unmap-last", workers.pids, 2);
	if (!is_private && mark_in_file(options.fd) != 'A' + SECOND)
		trial_fail("a shared write did not reach the file");

	workers_stop(&workers);
	return 0;
}
