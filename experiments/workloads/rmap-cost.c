/* SPDX-License-Identifier: GPL-2.0 */
/*
 * rmap-cost: what does it cost to change a file under those who map it?
 *
 * Some processes map one GiB of a file and write to it once per 2 MiB. Another one, which does not
 * map it, then changes the file in ways that must reach all of their page tables. Phases, each
 * announced when it is over:
 *
 *	before		nothing is mapped
 *	mapped		all have mapped and touched the range
 *	write-back	fsync, which makes every entry clean and read-only
 *	rewritten	all have written to every entry again
 *	punch		2 MiB in the middle have become a hole
 *	restored	all have written again, around the hole: XFS unmaps the whole file to make one
 *	truncate	the file is empty
 *
 * Values: what the call cost (call), and the faults that all of them took (minor-faults) where they
 * touch the range. Each happens once; the cost is one sample.
 */
#include "lib/cost.h"
#include "lib/window.h"
#include "lib/workers.h"

enum { STEP_MAP, STEP_WRITE, STEP_WRITE_AROUND };

#define HOLE (GIB / 2)

struct options {
	const char *file;
	size_t sharers;
	size_t entry;
	int fd;
	void *at;
};

static struct worker_report work(size_t index, int step, const void *context)
{
	const struct options *options = context;
	struct worker_report report = { { 0 } };
	static void *at;
	long faults;

	(void)index;
	if (step == STEP_MAP)
		at = window_map(options->at, GIB, options->fd, 0, PROT_READ | PROT_WRITE,
				MAP_SHARED, options->entry);
	faults = trial_minor_faults();
	window_touch(at, HOLE, HUGE_ENTRY, true);
	if (step != STEP_WRITE_AROUND)
		window_touch((char *)at + HOLE, HUGE_ENTRY, HUGE_ENTRY, true);
	window_touch((char *)at + HOLE + HUGE_ENTRY, GIB - HOLE - HUGE_ENTRY, HUGE_ENTRY, true);
	report.numbers[0] = trial_minor_faults() - faults;
	return report;
}

/* Let one after the other take the step; together they would race for the first fault. */
static long step_all(struct workers *workers, int step)
{
	long faults = 0;

	for (size_t i = 0; i < workers->size; i++)
		faults += workers_step_one(workers, i, step)[0];
	return faults;
}

static void phase(const char *name, const struct workers *workers)
{
	trial_phase(name, workers->pids, workers->size);
}

static void phase_of_call(const char *name, const struct workers *workers, int failed,
			  uint64_t cost)
{
	if (failed)
		trial_fail("%s: %s", name, strerror(errno));
	phase(name, workers);
	cost_value("call", cost);
}

static void parse(int argc, char **argv, struct options *options)
{
	const struct option_row rows[] = {
		OPTION_TEXT("file", &options->file, NULL, "PATH",
			    "DAX file of at least 1 GiB, which is truncated"),
		OPTION_NUMBER("sharers", &options->sharers, "1", 1, 4096, "processes that map it"),
		OPTION_CHOICE("entry", &options->entry, "2M", window_entry_sizes, "entry size"),
	};

	options_parse(argc, argv, "Change a file under those who map it.", rows, ARRAY_SIZE(rows));
}

int main(int argc, char **argv)
{
	struct options options = { 0 };
	struct workers workers;
	uint64_t began;
	int failed;
	long faults;

	parse(argc, argv, &options);
	options.fd = window_open(options.file, GIB, true);
	options.at = window_place(GIB, WINDOW_NEAR);
	cost_calibrate();
	cost_prefault_code();

	trial_prefault();
	workers_start(&workers, options.sharers, work, &options);
	phase("before", &workers);

	faults = step_all(&workers, STEP_MAP);
	phase("mapped", &workers);
	trial_value("minor-faults", "count", faults);

	began = cost_now();
	failed = fsync(options.fd);
	phase_of_call("write-back", &workers, failed, cost_since(began));

	faults = step_all(&workers, STEP_WRITE);
	phase("rewritten", &workers);
	trial_value("minor-faults", "count", faults);

	began = cost_now();
	failed = fallocate(options.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, HOLE,
			   HUGE_ENTRY);
	phase_of_call("punch", &workers, failed, cost_since(began));

	faults = step_all(&workers, STEP_WRITE_AROUND);
	phase("restored", &workers);
	trial_value("minor-faults", "count", faults);

	began = cost_now();
	failed = ftruncate(options.fd, 0);
	phase_of_call("truncate", &workers, failed, cost_since(began));

	/* All still map the range; touching it would raise SIGBUS. */
	workers_stop(&workers);
	return 0;
}
