/* SPDX-License-Identifier: GPL-2.0 */
/*
 * mappers: what does a process save that maps a range others have mapped before it?
 *
 * Processes map the same range of a file and touch all of it, once per entry, one process after
 * the other; all of them stay. Phases:
 *
 *	before		they exist, and nothing is mapped
 *	warm		one of them has mapped, touched and unmapped the range, so that what the
 *			file system does on the first use of a file is over
 *	first, second, third	that process has touched the range
 *	gone		all have unmapped it
 *
 * Values for each of the four that touch: how often it did (accesses), the faults it took
 * (minor-faults), what all its accesses cost (touch), the very first of them (first-access), the one
 * in the middle by cost (access and its ends), and one that finds the entry in place (access-again).
 * By 2 MiB entries each maps, touches and unmaps several times before it stays (samples), and touch
 * and first-access are medians: a timer interrupt would be as long as all accesses of a late one.
 */
#include <getopt.h>

#include "cost.h"
#include "workers.h"
#include "window.h"

enum { STEP_MAP, STEP_TOUCH, STEP_AGAIN, STEP_CHECK, STEP_UNMAP };

enum { WARMER, FIRST, MAPPERS = 4 };

/* Odd, for the sake of the median. */
#define ROUNDS 5

static const char *const phases[MAPPERS] = { "warm", "first", "second", "third" };

struct options {
	const char *file;
	size_t length;
	size_t entry;
	bool write;
	enum window_place place;
	int fd;
	void *at;
	struct cost_set samples;
};

static const char usage[] =
	"usage: mappers --file PATH [--gib N] [--entry 2M|4K] [--write | --read]\n"
	"               [--place near|lonely|kernel]\n";

static void touch(volatile char *at, struct options *options)
{
	for (size_t i = 0; i < options->samples.room; i++) {
		volatile char *byte = at + i * options->entry;
		uint64_t began = cost_now();

		if (options->write)
			*byte = 1;
		else
			(void)*byte;
		options->samples.values[i] = cost_since(began);
	}
}

static struct worker_report work(size_t index, int step, const void *context)
{
	struct options options = *(const struct options *)context;
	struct worker_report report = { { 0 } };
	struct window_entries entries;
	static void *at;
	long faults;

	(void)index;
	switch (step) {
	case STEP_MAP:
		cost_settle(&options.samples);
		cost_settle_code();
		/* Or a kernel thread that has something to do would do it in the middle. */
		cost_run_first();
		/* The first of its writes sets the file's time stamps, and so does everybody's. */
		cost_tick();
		at = window_map(options.at, options.length, options.fd, 0,
				PROT_READ | (options.write ? PROT_WRITE : 0), MAP_SHARED,
				options.entry);
		break;
	case STEP_TOUCH:
	case STEP_AGAIN:
		faults = trial_minor_faults();
		touch(at, &options);
		report.numbers[0] = trial_minor_faults() - faults;
		break;
	case STEP_CHECK:
		entries = window_entries(at, options.length);
		report.numbers[0] = entries.huge;
		report.numbers[1] = entries.small;
		report.numbers[2] = entries.zero;
		break;
	case STEP_UNMAP:
		if (munmap(at, options.length))
			trial_fail("munmap: %s", strerror(errno));
		break;
	}
	return report;
}

static void check_entries(const struct workers *workers, size_t who, const struct options *options)
{
	const long *found = workers->slots[who].report.numbers;
	long expected = options->samples.room;
	bool huge = options->entry == HUGE_ENTRY;

	if (found[!huge] != expected || found[huge] || found[2])
		trial_fail("the %s process has %ld entries of 2 MiB and %ld of 4 KiB, %ld of them "
			   "for the zero page; expected %ld of %s",
			   phases[who], found[0], found[1], found[2], expected,
			   huge ? "2 MiB" : "4 KiB");
}

static void step(struct workers *workers, size_t who, int what)
{
	workers_step(workers, who, who + 1, what);
}

/* Let one process do everything, and report what it cost it. */
static void measure(struct workers *workers, size_t who, struct options *options)
{
	struct cost_set *samples = &options->samples;
	/* By 4 KiB entries there are so many accesses that a timer interrupt is lost among them. */
	size_t rounds = options->entry == HUGE_ENTRY && who >= FIRST ? ROUNDS : 1;
	uint64_t sums[ROUNDS], firsts[ROUNDS];
	long faults;

	for (size_t round = 0; round < rounds; round++) {
		if (round)
			step(workers, who, STEP_UNMAP);
		step(workers, who, STEP_MAP);
		step(workers, who, STEP_TOUCH);
		sums[round] = cost_sum(samples, samples->room);
		firsts[round] = samples->values[0];
	}
	faults = workers->slots[who].report.numbers[0];
	cost_sort(sums, rounds);
	cost_sort(firsts, rounds);
	trial_phase(phases[who], workers->pids + who, 1);
	trial_value("samples", "count", rounds);
	trial_value("accesses", "count", samples->room);
	trial_value("minor-faults", "count", faults);
	cost_value("touch", sums[rounds / 2]);
	cost_value("first-access", firsts[rounds / 2]);
	cost_report(samples, samples->room, "access");

	step(workers, who, STEP_CHECK);
	check_entries(workers, who, options);
	step(workers, who, STEP_AGAIN);
	faults = workers->slots[who].report.numbers[0];
	if (faults)
		trial_fail("the %s process took %ld faults for what it had touched before",
			   phases[who], faults);
	cost_report(samples, samples->room, "access-again");
}

static void parse(int argc, char **argv, struct options *options)
{
	static const struct option known[] = {
		{ "file", required_argument, NULL, 'f' },
		{ "gib", required_argument, NULL, 'g' },
		{ "entry", required_argument, NULL, 'e' },
		{ "write", no_argument, NULL, 'w' },
		{ "read", no_argument, NULL, 'r' },
		{ "place", required_argument, NULL, 'a' },
		{ 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (option) {
		case 'f':
			options->file = optarg;
			break;
		case 'g':
			options->length = GIB * window_parse_number("gib", optarg, 64);
			break;
		case 'e':
			options->entry = window_parse_entry(optarg);
			break;
		case 'w':
		case 'r':
			options->write = option == 'w';
			break;
		case 'a':
			options->place = window_parse_place(optarg);
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
	struct options options = {
		.length = GIB,
		.entry = HUGE_ENTRY,
		.write = true,
		.place = WINDOW_NEAR,
	};
	struct workers workers;

	parse(argc, argv, &options);
	options.fd = window_open(options.file, options.length, options.write);
	options.at = window_place(options.length, options.place);
	options.samples = cost_room(options.length / options.entry);
	cost_open();

	trial_settle();
	workers_start(&workers, MAPPERS, work, &options);
	trial_phase("before", workers.pids, MAPPERS);

	measure(&workers, WARMER, &options);
	step(&workers, WARMER, STEP_UNMAP);
	for (size_t who = FIRST; who < MAPPERS; who++)
		measure(&workers, who, &options);
	workers_step(&workers, FIRST, MAPPERS, STEP_UNMAP);
	trial_phase("gone", workers.pids, MAPPERS);

	workers_stop(&workers);
	return 0;
}
