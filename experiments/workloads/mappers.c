/* SPDX-License-Identifier: GPL-2.0 */
/*
 * mappers: what does a process save by mapping a range that others have mapped before?
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
#include "lib/cost.h"
#include "lib/window.h"
#include "lib/workers.h"

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
		cost_prefault(&options.samples);
		cost_prefault_code();
		/* Or a kernel thread might run in the middle. */
		cost_run_fifo();
		/* The first of its writes sets the file's time stamps, and so does everybody's. */
		cost_wait_tick();
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

static void check_entries(struct workers *workers, size_t who, const struct options *options)
{
	const long *found = workers_step_one(workers, who, STEP_CHECK);
	long expected = options->samples.room;
	bool huge = options->entry == HUGE_ENTRY;

	if (found[!huge] != expected || found[huge] || found[2])
		trial_fail("the %s process has %ld entries of 2 MiB and %ld of 4 KiB, %ld of them "
			   "for the zero page; expected %ld of %s",
			   phases[who], found[0], found[1], found[2], expected,
			   huge ? "2 MiB" : "4 KiB");
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
			workers_step_one(workers, who, STEP_UNMAP);
		workers_step_one(workers, who, STEP_MAP);
		faults = workers_step_one(workers, who, STEP_TOUCH)[0];
		sums[round] = cost_sum(samples, samples->room);
		firsts[round] = samples->values[0];
	}
	cost_sort(sums, rounds);
	cost_sort(firsts, rounds);
	trial_phase(phases[who], workers->pids + who, 1);
	trial_value("samples", "count", rounds);
	trial_value("accesses", "count", samples->room);
	trial_value("minor-faults", "count", faults);
	cost_value("touch", sums[rounds / 2]);
	cost_value("first-access", firsts[rounds / 2]);
	cost_report(samples, samples->room, "access");

	check_entries(workers, who, options);
	faults = workers_step_one(workers, who, STEP_AGAIN)[0];
	if (faults)
		trial_fail("the %s process took %ld faults for what it had touched before",
			   phases[who], faults);
	cost_report(samples, samples->room, "access-again");
}

static void parse(int argc, char **argv, struct options *options)
{
	size_t gib;
	const struct option_row rows[] = {
		OPTION_TEXT("file", &options->file, NULL, "PATH", "DAX file of at least --gib"),
		OPTION_NUMBER("gib", &gib, "1", 1, 64, "GiB that each maps"),
		OPTION_CHOICE("entry", &options->entry, "2M", window_entry_sizes, "entry size"),
		OPTION_EITHER("write", "read", &options->write, "kind of access"),
		OPTION_CHOICE("place", &options->place, "near", window_places, "where to map"),
	};

	options_parse(argc, argv, "Map a range of a file that others have mapped before.", rows,
		      ARRAY_SIZE(rows));
	options->length = gib * GIB;
}

int main(int argc, char **argv)
{
	struct options options = { 0 };
	struct workers workers;

	parse(argc, argv, &options);
	options.fd = window_open(options.file, options.length, options.write);
	options.at = window_place(options.length, options.place);
	options.samples = cost_alloc(options.length / options.entry);
	cost_calibrate();

	trial_prefault();
	workers_start(&workers, MAPPERS, work, &options);
	trial_phase("before", workers.pids, MAPPERS);

	measure(&workers, WARMER, &options);
	workers_step_one(&workers, WARMER, STEP_UNMAP);
	for (size_t who = FIRST; who < MAPPERS; who++)
		measure(&workers, who, &options);
	workers_step(&workers, FIRST, MAPPERS, STEP_UNMAP);
	trial_phase("gone", workers.pids, MAPPERS);

	workers_stop(&workers);
	return 0;
}
