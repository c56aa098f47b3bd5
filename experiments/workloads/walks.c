/* SPDX-License-Identifier: GPL-2.0 */
/*
 * walks: what do page tables take of TLBs and caches when processes access one range of a file?
 *
 * Each process maps the range and touches one byte in every 32 KiB of it: with 4 KiB entries that is
 * one entry in each cache line of its page tables, so that all of their lines are in use, and one
 * line of data for each of them. Then it loads these bytes again, in random order. Phases:
 *
 *	before		the processes exist, and nothing is mapped
 *	touched		each has mapped the range and touched it
 *	warm		each has loaded from all places once, so that caches hold what they will
 *	measured	each has had its turn to load
 *
 * The loads are what is measured, so that an instrument can tell them from everything else. Values:
 * how many there were (loads), and how many places they go to (places).
 */
#include "lib/cost.h"
#include "lib/marker.h"
#include "lib/window.h"
#include "lib/workers.h"

enum { STEP_MAP, STEP_WARM, STEP_LOAD, STEP_UNMAP };

/* So far apart are places: a cache line of page-table entries leads to so much. */
#define PLACE (8 * SMALL_ENTRY)

/* UNIFORM: every place is as likely. ZIPF: by octaves of rank, as a power law with exponent 1. */
enum pattern { UNIFORM, ZIPF };

static const struct option_choice patterns[] = {
	{ "uniform", UNIFORM },
	{ "zipf", ZIPF },
	{ 0 },
};

struct options {
	const char *file;
	size_t processes, length, loads, entry;
	enum pattern pattern;
	int fd;
	void *at;
};

/* Xorshift: Marsaglia, "Xorshift RNGs" (2003), the triple 13, 7, 17. */
static inline uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* The number of a place below a power of two, scattered so that popular ones are not neighbours. */
static inline uint64_t pick(uint64_t *state, uint64_t places, enum pattern pattern)
{
	uint64_t random = next_random(state), octave;

	if (pattern == UNIFORM)
		return random % places;
	octave = (random >> 32) % (__builtin_ctzl(places) + 1);
	random = octave ? (1UL << (octave - 1)) + random % (1UL << (octave - 1)) : 0;
	return random * 0x9e3779b1UL % places;
}

/* The byte of a place: in any of its lines, or some sets of TLBs and caches would stay empty. */
static inline size_t byte_of(uint64_t place)
{
	return place * PLACE + (place * 0x9e3779b1UL >> 16) % (PLACE / 64) * 64;
}

/*
 * What is measured: loads from all places in order, and from places picked at random. All that the
 * loops need is in registers, so that they access nothing else.
 */
static void load_all(volatile unsigned char *at, uint64_t places)
{
	asm volatile(MARKER(MARKER_BEGIN)::: "memory");
	for (uint64_t place = 0; place < places; place++)
		(void)at[byte_of(place)];
	asm volatile(MARKER(MARKER_END)::: "memory");
}

static void load_some(volatile unsigned char *at, uint64_t places, size_t loads,
		      enum pattern pattern, uint64_t *state)
{
	uint64_t random = *state;

	asm volatile(MARKER(MARKER_BEGIN)::: "memory");
	for (size_t i = 0; i < loads; i++)
		(void)at[byte_of(pick(&random, places, pattern))];
	asm volatile(MARKER(MARKER_END)::: "memory");
	*state = random;
}

static struct worker_report work(size_t index, int step, const void *context)
{
	const struct options *options = context;
	uint64_t places = options->length / PLACE;
	struct worker_report report = { { 0 } };
	static volatile unsigned char *at;
	static uint64_t state;

	switch (step) {
	case STEP_MAP:
		cost_prefault_code();
		state = 88172645463325252UL + index;
		at = window_map(options->at, options->length, options->fd, 0, PROT_READ, MAP_SHARED,
				options->entry);
		for (uint64_t place = 0; place < places; place++)
			(void)at[byte_of(place)];
		break;
	case STEP_WARM:
		load_all(at, places);
		break;
	case STEP_LOAD:
		load_some(at, places, options->loads, options->pattern, &state);
		break;
	case STEP_UNMAP:
		if (munmap((void *)at, options->length))
			trial_fail("munmap: %s", strerror(errno));
		break;
	}
	return report;
}

/* One process after the other, as if they shared a processor. */
static void take_turns(struct workers *workers, int step)
{
	for (size_t i = 0; i < workers->size; i++)
		workers_step_one(workers, i, step);
}

static void parse(int argc, char **argv, struct options *options)
{
	size_t gib;
	const struct option_row rows[] = {
		OPTION_TEXT("file", &options->file, NULL, "PATH", "DAX file of at least --gib"),
		OPTION_NUMBER("processes", &options->processes, "1", 1, 1024, "processes"),
		OPTION_NUMBER("gib", &gib, "1", 1, 64, "GiB that each maps; a power of two"),
		OPTION_NUMBER("loads", &options->loads, "65536", 1, 100000000, "loads of a turn"),
		OPTION_CHOICE("entry", &options->entry, "4K", window_entry_sizes, "entry size"),
		OPTION_CHOICE("pattern", &options->pattern, "uniform", patterns, "which places"),
	};

	options_parse(argc, argv, "Load from random places of a range that many have mapped.", rows,
		      ARRAY_SIZE(rows));
	if (gib & (gib - 1))
		options_refuse("--gib %zu is no power of two", gib);
	options->length = gib * GIB;
}

int main(int argc, char **argv)
{
	struct options options = { 0 };
	struct workers workers;

	parse(argc, argv, &options);
	options.fd = window_open(options.file, options.length, false);
	options.at = window_place(options.length, WINDOW_NEAR);

	trial_prefault();
	workers_start(&workers, options.processes, work, &options);
	trial_phase("before", workers.pids, 1);
	take_turns(&workers, STEP_MAP);
	trial_phase("touched", workers.pids, 1);
	take_turns(&workers, STEP_WARM);
	trial_phase("warm", workers.pids, 1);
	take_turns(&workers, STEP_LOAD);
	trial_phase("measured", workers.pids, 1);
	trial_value("loads", "count", options.processes * options.loads);
	trial_value("places", "count", options.length / PLACE);

	workers_step(&workers, 0, workers.size, STEP_UNMAP);
	workers_stop(&workers);
	return 0;
}
