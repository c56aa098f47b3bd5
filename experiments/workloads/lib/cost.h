/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a piece of code costs, by a clock that proves what it counts.
 *
 *	cost_calibrate();		once, before anything is measured
 *	began = cost_now();
 *	...
 *	set.values[i] = cost_since(began);
 *	cost_report(&set, n, "fault");	values fault (the median), fault-least and fault-most
 *
 * Under QEMU's -icount the TSC advances by 2^shift with each instruction and with nothing else.
 * cost_calibrate() finds out whether it does by timing runs of no-ops of known length: only a
 * counter of instructions gives the very same number each time, and the right one. Then costs
 * are reported in instructions. Otherwise they are times, which the driver accepts from real
 * processors only. What it costs to take the time is subtracted.
 *
 * Of several samples the median is reported, because a few of them contain a timer interrupt;
 * least and most show how far the others are from it.
 */
#ifndef COST_H
#define COST_H

#include <time.h>

#include "marker.h"
#include "trial.h"

/* log2 of TSC ticks per instruction, or -1 where the TSC counts something else. */
extern int cost_shift;
/* What cost_since(cost_now()) would give without subtracting this. */
extern uint64_t cost_overhead;

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

static inline uint64_t cost_time(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

/*
 * Instructions, or else nanoseconds, since some moment. Inline, like cost_since(): a call and its
 * return would be counted too. The markers stand next to the readings of the clock, so that an
 * instrument sees the same instructions between them, but for two markers and one reading.
 */
static inline uint64_t cost_now(void)
{
	uint32_t low, high;
	uint64_t now;

	if (cost_shift >= 0) {
		asm volatile("rdtsc\n\t" MARKER(MARKER_BEGIN) : "=a"(low), "=d"(high)::"memory");
		return ((uint64_t)high << 32 | low) >> cost_shift;
	}
	now = cost_time();
	asm volatile(MARKER(MARKER_BEGIN)::: "memory");
	return now;
}

static inline uint64_t cost_since(uint64_t began)
{
	uint32_t low, high;
	uint64_t cost;

	if (cost_shift >= 0) {
		asm volatile(MARKER(MARKER_END) "\n\trdtsc" : "=a"(low), "=d"(high)::"memory");
		cost = (((uint64_t)high << 32 | low) >> cost_shift) - began;
	} else {
		asm volatile(MARKER(MARKER_END)::: "memory");
		cost = cost_time() - began;
	}
	return cost > cost_overhead ? cost - cost_overhead : 0;
}

/* Find out what the clock counts, and what it costs to read it. */
void cost_calibrate(void);

/* Room for samples. */
struct cost_set cost_alloc(size_t room);

/* Fault in the samples in this process, before it is measured. */
void cost_prefault(struct cost_set *set);

/*
 * Fault in all of the program, code and constants, so that no page of it is first used in the
 * middle of what is measured. A child must do this again: fork copies no entries of file mappings.
 */
void cost_prefault_code(void);

/*
 * Let no other process run while this one can, its children included: a child that runs before
 * fork() returns would make fork() look longer.
 */
void cost_run_fifo(void);

/*
 * Wait until the kernel's coarse clock has ticked, which it does at least 100 times a second. It
 * sets a file's time stamps; a write before the next tick finds them up to date, and takes some
 * 2,000 instructions less than one after it.
 */
void cost_wait_tick(void);

uint64_t cost_sum(const struct cost_set *set, size_t count);

/* Sort without allocating memory, whose page tables would be counted with the others. */
void cost_sort(uint64_t *values, size_t count);

/* The median of the first `count` samples, which this sorts. */
uint64_t cost_median(struct cost_set *set, size_t count);

/* Report one cost. */
void cost_value(const char *name, uint64_t cost);

/* Report the first `count` samples: their median by name, and their ends. */
void cost_report(struct cost_set *set, size_t count, const char *name);

#endif
