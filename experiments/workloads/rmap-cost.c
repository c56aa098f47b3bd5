/* SPDX-License-Identifier: GPL-2.0 */
/*
 * rmap-cost: what does it cost to change a file under those who map it?
 *
 * Some processes map one GiB of a file and write to it once per 2 MiB. Another one, which does not
 * map it, then does what has to reach all of their page tables. Phases, each announced when it is
 * over:
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
#include <getopt.h>

#include "cost.h"
#include "workers.h"
#include "window.h"

enum { STEP_MAP, STEP_WRITE, STEP_WRITE_AROUND };

#define HOLE (GIB / 2)

struct options {
	const char *file;
	size_t sharers;
	size_t entry;
	int fd;
	void *at;
};

static const char usage[] = "usage: rmap-cost --file PATH [--sharers N] [--entry 2M|4K]\n";

static struct worker_report work(size_t index, int step, const void *context)
{
	const struct options *options = context;
	struct worker_report report = { { 0 } };
	static void *at;
	long faults;

	(void)index;
	if (step == STEP_MAP)
		at = window_map(options->at, GIB, options->fd, 0, PROT_READ | PROT_WRITE, MAP_SHARED,
				options->entry);
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

	for (size_t i = 0; i < workers->size; i++) {
		workers_step(workers, i, i + 1, step);
		faults += workers->slots[i].report.numbers[0];
	}
	return faults;
}

static void phase(const char *name, const struct workers *workers)
{
	trial_phase(name, workers->pids, workers->size);
}

static void phase_of_call(const char *name, const struct workers *workers, int failed, uint64_t cost)
{
	if (failed)
		trial_fail("%s: %s", name, strerror(errno));
	phase(name, workers);
	cost_value("call", cost);
}

static void parse(int argc, char **argv, struct options *options)
{
	static const struct option known[] = {
		{ "file", required_argument, NULL, 'f' },
		{ "sharers", required_argument, NULL, 's' },
		{ "entry", required_argument, NULL, 'e' },
		{ 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (option) {
		case 'f':
			options->file = optarg;
			break;
		case 's':
			options->sharers = window_parse_number("sharers", optarg, 4096);
			break;
		case 'e':
			options->entry = window_parse_entry(optarg);
			break;
		default:
			fputs(usage, stderr);
			exit(2);
		}
	}
	if (!options->file || optind != argc) {
		fputs(usage, stderr);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	struct options options = { .sharers = 1, .entry = HUGE_ENTRY };
	struct workers workers;
	uint64_t began;
	int failed;
	long faults;

	parse(argc, argv, &options);
	options.fd = window_open(options.file, GIB, true);
	options.at = window_place(GIB, WINDOW_NEAR);
	cost_open();
	cost_settle_code();

	trial_settle();
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
	failed = fallocate(options.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, HOLE, HUGE_ENTRY);
	phase_of_call("punch", &workers, failed, cost_since(began));

	faults = step_all(&workers, STEP_WRITE_AROUND);
	phase("restored", &workers);
	trial_value("minor-faults", "count", faults);

	began = cost_now();
	failed = ftruncate(options.fd, 0);
	phase_of_call("truncate", &workers, failed, cost_since(began));

	/* The range is still mapped by all, and nobody may touch it any more. */
	workers_stop(&workers);
	return 0;
}
