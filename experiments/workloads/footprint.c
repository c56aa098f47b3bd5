/* SPDX-License-Identifier: GPL-2.0 */
/*
 * footprint: what do page tables cost when many processes map the same range of a file?
 *
 * Phases, each for all processes:
 *
 *	before		they exist, and have touched all they will use besides the mapping
 *	mapped		each has mapped the range; no table was needed for that
 *	touched		each has accessed one byte per step (2 MiB: every table page exists)
 *	half-unmapped	half of them (rounded down) have unmapped it
 *	gone		all have unmapped it; they still exist, so this equals `before`
 *
 * Between two phases nothing else in these processes changes, so differences of page-table
 * counters are those of the mapping alone; with --place near exactly 1 page per process and GiB
 * for 2 MiB entries and 513 for 4 KiB entries (window.h says why), where nothing is shared.
 *
 * In `touched` every process reads its own page tables back (PAGEMAP_SCAN): entries of another
 * size, the zero page, or any number of entries but the expected one end the trial with status 1.
 * Reported there: minor faults per process (smallest, largest, sum) and entries per process. With
 * --costs also what it took all processes together to start, to map and to touch.
 */
#include "lib/cost.h"
#include "lib/window.h"
#include "lib/workers.h"

enum { STEP_MAP, STEP_TOUCH, STEP_CHECK, STEP_UNMAP };

struct options {
	const char *file;
	size_t processes;
	size_t length;
	size_t entry;
	size_t step;
	bool write, costs;
	int sharing;
	enum window_place place;
	/* Filled in once the options are known. */
	int fd;
	void *at;
};

static struct worker_report work(size_t index, int step, const void *context)
{
	const struct options *options = context;
	struct worker_report report = { { 0 } };
	struct window_entries entries;
	static void *at;
	long faults;

	(void)index;
	switch (step) {
	case STEP_MAP:
		at = window_map(options->at, options->length, options->fd, 0,
				PROT_READ | (options->write ? PROT_WRITE : 0), options->sharing,
				options->entry);
		report.numbers[0] = (uintptr_t)at % GIB == 0;
		break;
	case STEP_TOUCH:
		faults = trial_minor_faults();
		window_touch(at, options->length, options->step, options->write);
		report.numbers[0] = trial_minor_faults() - faults;
		break;
	case STEP_CHECK:
		entries = window_entries(at, options->length);
		report.numbers[0] = entries.huge;
		report.numbers[1] = entries.small;
		report.numbers[2] = entries.zero;
		break;
	case STEP_UNMAP:
		if (munmap(at, options->length))
			trial_fail("munmap: %s", strerror(errno));
		break;
	}
	return report;
}

static void report_faults(const struct workers *workers, long accesses)
{
	long least = workers->slots[0].report.numbers[0], most = least, sum = 0;

	for (size_t i = 0; i < workers->size; i++) {
		long faults = workers->slots[i].report.numbers[0];

		least = faults < least ? faults : least;
		most = faults > most ? faults : most;
		sum += faults;
	}
	trial_value("minor-faults-min", "count", least);
	trial_value("minor-faults-max", "count", most);
	trial_value("minor-faults-sum", "count", sum);
	if (most > accesses)
		trial_fail("a process took %ld faults for %ld accesses", most, accesses);
}

static void report_entries(const struct workers *workers, const struct options *options)
{
	/* Accesses closer together than an entry share it. */
	size_t apart = options->step > options->entry ? options->step : options->entry;
	long expected = (options->length + apart - 1) / apart;
	bool huge = options->entry == HUGE_ENTRY;

	for (size_t i = 0; i < workers->size; i++) {
		const long *found = workers->slots[i].report.numbers;

		if (found[!huge] != expected || found[huge] || found[2])
			trial_fail("process %zu has %ld entries of 2 MiB and %ld of 4 KiB, %ld of "
				   "them for the zero page; expected %ld of %s (a file once "
				   "mapped by smaller entries keeps them until it leaves memory)",
				   i, found[0], found[1], found[2], expected,
				   huge ? "2 MiB" : "4 KiB");
	}
	trial_value("entries-per-process", "count", expected);
}

static void parse(int argc, char **argv, struct options *options)
{
	size_t gib;
	bool is_private;
	const struct option_row rows[] = {
		OPTION_TEXT("file", &options->file, NULL, "PATH", "DAX file of at least --gib"),
		OPTION_NUMBER("processes", &options->processes, "1", 1, 16384, "processes"),
		OPTION_NUMBER("gib", &gib, "1", 1, 400, "GiB that each maps"),
		OPTION_CHOICE("entry", &options->entry, "2M", window_entry_sizes, "entry size"),
		OPTION_SIZE("step", &options->step, "2M", SMALL_ENTRY, GIB, SMALL_ENTRY,
			    "distance of accesses"),
		OPTION_EITHER("write", "read", &options->write, "kind of access"),
		OPTION_FLAG("private", &is_private, "map privately; needs --read"),
		OPTION_CHOICE("place", &options->place, "near", window_places, "where to map"),
		OPTION_FLAG("costs", &options->costs, "report the cost of each step"),
	};

	options_parse(argc, argv, "Page tables of processes that map one range of a file.", rows,
		      ARRAY_SIZE(rows));
	options->length = gib * GIB;
	options->sharing = is_private ? MAP_PRIVATE : MAP_SHARED;
	/* A private write copies pages, and then there is nothing left to compare. */
	if (is_private && options->write)
		options_refuse("--private needs --read");
}

static void report_cost(const struct options *options, const char *name, uint64_t cost)
{
	if (options->costs)
		cost_value(name, cost);
}

int main(int argc, char **argv)
{
	struct options options = { 0 };
	struct workers workers;
	size_t all, half;
	uint64_t cost;

	parse(argc, argv, &options);
	options.fd = window_open(options.file, options.length, options.write);
	options.at = window_place(options.length, options.place);
	all = options.processes;
	half = all / 2;

	if (options.costs)
		cost_calibrate();
	trial_prefault();
	cost = cost_now();
	workers_start(&workers, all, work, &options);
	cost = cost_since(cost);
	trial_phase("before", workers.pids, all);
	report_cost(&options, "start", cost);

	cost = cost_now();
	workers_step(&workers, 0, all, STEP_MAP);
	cost = cost_since(cost);
	trial_phase("mapped", workers.pids, all);
	report_cost(&options, "map", cost);
	if (options.place == WINDOW_KERNEL)
		trial_value("gib-aligned", "boolean", workers.slots[0].report.numbers[0]);

	cost = cost_now();
	workers_step(&workers, 0, all, STEP_TOUCH);
	cost = cost_since(cost);
	trial_phase("touched", workers.pids, all);
	report_cost(&options, "touch", cost);
	report_faults(&workers, options.length / options.step);
	workers_step(&workers, 0, all, STEP_CHECK);
	report_entries(&workers, &options);

	workers_step(&workers, 0, half, STEP_UNMAP);
	trial_phase("half-unmapped", workers.pids, all);

	workers_step(&workers, half, all, STEP_UNMAP);
	trial_phase("gone", workers.pids, all);

	workers_stop(&workers);
	return 0;
}
