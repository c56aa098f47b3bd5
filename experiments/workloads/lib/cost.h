/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a piece of code costs, by a clock that proves what it counts.
 *
 *	cost_open();			once, before anything is measured
 *	began = cost_now();
 *	...
 *	set.values[i] = cost_since(began);
 *	cost_report(&set, n, "fault");	values fault (the median), fault-least and fault-most
 *
 * Under QEMU's -icount the TSC advances by 2^shift with each instruction and with nothing else.
 * Whether it does is found out by timing stretches of no-ops of known length: only a counter of
 * instructions finds the very same number again and again, and finds the right one. Then costs
 * are reported in instructions. Otherwise they are times, which the driver takes from real
 * processors only. What taking the time costs is subtracted.
 *
 * The middle one of several samples is reported, because a few of them contain a timer interrupt;
 * least and most tell how far the others are from it.
 */
#ifndef COST_H
#define COST_H

#include <sched.h>
#include <stdint.h>
#include <sys/mman.h>
#include <time.h>

#include "trial.h"

/* Since 5.14: include/uapi/asm-generic/mman-common.h, which may be older on a build host. */
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

/* The range of QEMU's -icount shift=. */
#define COST_MOST_SHIFT 10

/* Of so many stretches all but two must agree: those that a timer interrupt fell into. */
#define COST_TRIES 8

/* log2 of TSC ticks per instruction, or -1 where the TSC counts something else. */
static int cost_shift = -1;
static uint64_t cost_overhead;

/* Samples in memory that children share, so that any process can add one and any can report. */
struct cost_set {
	uint64_t *values;
	size_t room;
};

static inline uint64_t cost_tsc(void)
{
	uint32_t low, high;

	asm volatile("rdtsc" : "=a"(low), "=d"(high)::"memory");
	return (uint64_t)high << 32 | low;
}

/* TSC ticks that `count` no-ops take, and rdtsc with them. */
#define COST_STRETCH(count)                                                                     \
	({                                                                                      \
		uint64_t began = cost_tsc();                                                    \
		asm volatile(".rept " #count "\n\tnop\n\t.endr" ::: "memory");                  \
		cost_tsc() - began;                                                             \
	})

/* Does the TSC advance by 2^shift with each instruction? */
static inline bool cost_agrees(int shift)
{
	int agree = 0;

	for (int i = 0; i < COST_TRIES; i++) {
		uint64_t shorter = COST_STRETCH(100), longer = COST_STRETCH(1123);

		agree += longer - shorter == 1023ULL << shift;
	}
	return agree >= COST_TRIES - 2;
}

/* Instructions, or else nanoseconds, since some moment. */
static inline uint64_t cost_now(void)
{
	struct timespec now;

	if (cost_shift >= 0)
		return cost_tsc() >> cost_shift;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

static inline uint64_t cost_since(uint64_t began)
{
	uint64_t cost = cost_now() - began;

	return cost > cost_overhead ? cost - cost_overhead : 0;
}

static inline const char *cost_unit(void)
{
	return cost_shift >= 0 ? "instructions" : "ns";
}

/* Find out what the clock counts, and what it costs to look at it. */
static inline void cost_open(void)
{
	uint64_t least = UINT64_MAX;

	for (int shift = 0; shift <= COST_MOST_SHIFT && cost_shift < 0; shift++)
		if (cost_agrees(shift))
			cost_shift = shift;
	cost_overhead = 0;
	for (int i = 0; i < 16; i++) {
		uint64_t cost = cost_since(cost_now());

		least = cost < least ? cost : least;
	}
	cost_overhead = least;
}

static inline struct cost_set cost_room(size_t room)
{
	struct cost_set set = { .room = room };

	set.values = mmap(NULL, room * sizeof(*set.values), PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (set.values == MAP_FAILED)
		trial_fail("no memory for %zu samples", room);
	return set;
}

/*
 * Fault in all of the program, code and constants, so that no page of it is first used in the
 * middle of what is measured. For a child this has to be done anew: fork copies no entries of
 * file mappings.
 */
static inline void cost_settle_code(void)
{
	extern char __executable_start[], edata[];
	char *page = __executable_start;

	/* Page by page: between segments there may be a gap. */
	for (; page < edata; page += 4096)
		if (madvise(page, 4096, MADV_POPULATE_READ) && errno != ENOMEM)
			trial_fail("madvise(MADV_POPULATE_READ) of the code: %s", strerror(errno));
}

/*
 * Let no other process run while this one could, its children included: a child of fork() that
 * comes first would make fork() look longer.
 */
static inline void cost_run_first(void)
{
	const struct sched_param lowest = { .sched_priority = 1 };

	if (sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &lowest))
		trial_fail("sched_setscheduler: %s", strerror(errno));
}

/*
 * Let the kernel's coarse clock tick, which it does at least 100 times a second. A file's time stamps
 * are set from it, and a write that comes before the next tick finds them up to date: for some 2,000
 * instructions less than one that comes after it.
 */
static inline void cost_tick(void)
{
	const struct timespec ticks = { .tv_nsec = 20 * 1000 * 1000 };

	if (nanosleep(&ticks, NULL))
		trial_fail("nanosleep: %s", strerror(errno));
}

/* Let this process fault in the samples, before it is measured. */
static inline void cost_settle(struct cost_set *set)
{
	volatile uint64_t *values = set->values;

	for (size_t i = 0; i < set->room; i += 4096 / sizeof(*values))
		values[i] = values[i];
}

static inline uint64_t cost_sum(const struct cost_set *set, size_t count)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < count; i++)
		sum += set->values[i];
	return sum;
}

/* Let values[root] sink to its place among the first `count`, largest on top. */
static inline void cost_sink(uint64_t *values, size_t root, size_t count)
{
	uint64_t value = values[root];

	for (size_t child; (child = 2 * root + 1) < count; root = child) {
		if (child + 1 < count && values[child + 1] > values[child])
			child++;
		if (values[child] <= value)
			break;
		values[root] = values[child];
	}
	values[root] = value;
}

/*
 * Heapsort. qsort() would allocate memory for many samples, and its page tables would show among
 * those that are counted.
 */
static inline void cost_sort(uint64_t *values, size_t count)
{
	for (size_t root = count / 2; root--;)
		cost_sink(values, root, count);
	while (count-- > 1) {
		uint64_t largest = values[0];

		values[0] = values[count];
		values[count] = largest;
		cost_sink(values, 0, count);
	}
}

/* The middle one of the first `count` samples, which are sorted by this. */
static inline uint64_t cost_median(struct cost_set *set, size_t count)
{
	if (!count || count > set->room)
		trial_fail("%zu samples, room for %zu", count, set->room);
	cost_sort(set->values, count);
	return set->values[count / 2];
}

/* Report one cost. */
static inline void cost_value(const char *name, uint64_t cost)
{
	trial_value(name, cost_unit(), cost);
}

/* Report the first `count` samples: their median by name, and their ends. */
static inline void cost_report(struct cost_set *set, size_t count, const char *name)
{
	char longer[96];

	cost_value(name, cost_median(set, count));
	snprintf(longer, sizeof(longer), "%s-least", name);
	cost_value(longer, set->values[0]);
	snprintf(longer, sizeof(longer), "%s-most", name);
	cost_value(longer, set->values[count - 1]);
}

#endif
