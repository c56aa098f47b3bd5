/* SPDX-License-Identifier: GPL-2.0 */
/*
 * lookup: does finding a page table to share cost more than making one?
 *
 * Many mappings of one GiB of a file exist, of a kind that a search for a table has to look at. The
 * only one that has the table was mapped last, so that a walk of the file's mappings reaches it
 * last. Then a process maps the GiB, accesses one byte of it and unmaps it, many times. Kinds of
 * mappings in the way:
 *
 *	matching	the same range in the same way, but never touched: no table there
 *	offset		at an address that disagrees with the offset modulo 1 GiB: cannot share
 *	protection	read-only, and sharing a table of their own
 *	mixed		the three in turn
 *
 * Phases, and the values reported in them:
 *
 *	before		nothing is mapped
 *	crowded		the mappings exist
 *	attached	the process has mapped, accessed and unmapped `rounds` times; what the access
 *			cost (first-access and its ends), and the mmap and munmap around it
 *	filled		once more, and it has touched all of the GiB; what that cost (fill), and the
 *			faults it took
 */
#include "lib/cost.h"
#include "lib/window.h"
#include "lib/workers.h"

enum { CROWD, SEEKER, PROCESSES };

enum { STEP_CROWD, STEP_ATTACH, STEP_FILL };

/* MIXED: the ones before it in turn. */
enum kind { MATCHING, OFFSET, PROTECTION, MIXED };

static const struct option_choice kinds[] = {
	{ "matching", MATCHING },
	{ "offset", OFFSET },
	{ "protection", PROTECTION },
	{ "mixed", MIXED },
	{ 0 },
};

/* Attach so often: odd, for the sake of the median. */
#define ROUNDS 15

/* Where the mappings in the way begin: 2 GiB for each are free from here to the stack's 512 GiB. */
#define CROWD_ADDRESS 0x200000000000UL
#define CROWD_SPACING (2 * GIB)

struct options {
	const char *file;
	size_t vmas;
	enum kind kind;
	int fd;
	void *at;
	struct cost_set map, access, unmap;
};

/* Map something that the search has to look at and to pass. */
static void obstruct(const struct options *options, size_t index)
{
	enum kind kind = options->kind == MIXED ? index % MIXED : options->kind;
	char *at = (char *)CROWD_ADDRESS + index * CROWD_SPACING;
	int protection = kind == PROTECTION ? PROT_READ : PROT_READ | PROT_WRITE;

	if (kind == OFFSET)
		at += HUGE_ENTRY;
	window_map(at, GIB, options->fd, 0, protection, MAP_SHARED, HUGE_ENTRY);
	if (kind == PROTECTION)
		window_touch(at, HUGE_ENTRY, HUGE_ENTRY, false);
}

static void *map_here(const struct options *options)
{
	return window_map(options->at, GIB, options->fd, 0, PROT_READ | PROT_WRITE, MAP_SHARED,
			  HUGE_ENTRY);
}

static void attach(struct options *options, size_t round)
{
	uint64_t began = cost_now();
	volatile char *at = map_here(options);

	options->map.values[round] = cost_since(began);
	began = cost_now();
	*at = 1;
	options->access.values[round] = cost_since(began);
	began = cost_now();
	if (munmap((void *)at, GIB))
		trial_fail("munmap: %s", strerror(errno));
	options->unmap.values[round] = cost_since(began);
}

static struct worker_report work(size_t index, int step, const void *context)
{
	struct options options = *(const struct options *)context;
	struct worker_report report = { { 0 } };
	uint64_t began;
	long faults;
	void *at;

	(void)index;
	switch (step) {
	case STEP_CROWD:
		for (size_t i = 0; i + 1 < options.vmas; i++)
			obstruct(&options, i);
		/* The one that has the table, behind all others in the walk. */
		at = map_here(&options);
		window_touch(at, GIB, HUGE_ENTRY, true);
		break;
	case STEP_ATTACH:
		cost_prefault(&options.map);
		cost_prefault(&options.access);
		cost_prefault(&options.unmap);
		cost_prefault_code();
		/* One round that does not count, for what happens once in a process's life. */
		for (size_t round = 0; round <= ROUNDS; round++)
			attach(&options, round ? round - 1 : 0);
		break;
	case STEP_FILL:
		at = map_here(&options);
		faults = trial_minor_faults();
		began = cost_now();
		window_touch(at, GIB, HUGE_ENTRY, true);
		report.numbers[0] = cost_since(began);
		report.numbers[1] = trial_minor_faults() - faults;
		break;
	}
	return report;
}

static void parse(int argc, char **argv, struct options *options)
{
	const struct option_row rows[] = {
		OPTION_TEXT("file", &options->file, NULL, "PATH", "DAX file of at least 1 GiB"),
		OPTION_NUMBER("vmas", &options->vmas, "1", 1, 32768, "mappings to search"),
		OPTION_CHOICE("kind", &options->kind, "matching", kinds, "kind of all but one"),
	};

	options_parse(argc, argv, "Find a page table to share among many mappings.", rows,
		      ARRAY_SIZE(rows));
}

int main(int argc, char **argv)
{
	struct options options = { 0 };
	struct workers workers;
	const long *filled;

	parse(argc, argv, &options);
	options.fd = window_open(options.file, GIB, true);
	options.at = window_place(GIB, WINDOW_NEAR);
	options.map = cost_alloc(ROUNDS);
	options.access = cost_alloc(ROUNDS);
	options.unmap = cost_alloc(ROUNDS);
	cost_calibrate();

	trial_prefault();
	workers_start(&workers, PROCESSES, work, &options);
	trial_phase("before", workers.pids, PROCESSES);

	workers_step_one(&workers, CROWD, STEP_CROWD);
	trial_phase("crowded", workers.pids, PROCESSES);

	workers_step_one(&workers, SEEKER, STEP_ATTACH);
	trial_phase("attached", workers.pids, PROCESSES);
	trial_value("rounds", "count", ROUNDS + 1);
	trial_value("samples", "count", ROUNDS);
	cost_report(&options.map, ROUNDS, "map");
	cost_report(&options.access, ROUNDS, "first-access");
	cost_report(&options.unmap, ROUNDS, "unmap");

	filled = workers_step_one(&workers, SEEKER, STEP_FILL);
	trial_phase("filled", workers.pids, PROCESSES);
	cost_value("fill", filled[0]);
	trial_value("minor-faults", "count", filled[1]);

	workers_stop(&workers);
	return 0;
}
