/* SPDX-License-Identifier: GPL-2.0 */
#include "cost.h"

#include <sched.h>
#include <sys/mman.h>

/* Since 5.14: include/uapi/asm-generic/mman-common.h, which may be older on a build host. */
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

/* The range of QEMU's -icount shift=. */
#define MAX_SHIFT 10

/* Of so many tries all but two must agree: a timer interrupt may fall into a few. */
#define TRIES 8

int cost_shift = -1;
uint64_t cost_overhead;

/* TSC ticks that `count` no-ops take, and rdtsc with them. */
#define TICKS_OF_NOPS(count)                                                   \
	({                                                                     \
		uint64_t began = cost_tsc();                                   \
		asm volatile(".rept " #count "\n\tnop\n\t.endr" ::: "memory"); \
		cost_tsc() - began;                                            \
	})

/* Does the TSC advance by 2^shift with each instruction? */
static bool counts_instructions(int shift)
{
	int agree = 0;

	for (int i = 0; i < TRIES; i++) {
		uint64_t shorter = TICKS_OF_NOPS(100), longer = TICKS_OF_NOPS(1123);

		agree += longer - shorter == 1023ULL << shift;
	}
	return agree >= TRIES - 2;
}

void cost_calibrate(void)
{
	uint64_t least = UINT64_MAX;

	for (int shift = 0; shift <= MAX_SHIFT && cost_shift < 0; shift++)
		if (counts_instructions(shift))
			cost_shift = shift;
	cost_overhead = 0;
	for (int i = 0; i < 16; i++) {
		uint64_t cost = cost_since(cost_now());

		least = cost < least ? cost : least;
	}
	cost_overhead = least;
}

struct cost_set cost_alloc(size_t room)
{
	struct cost_set set = { .room = room };

	set.values = mmap(NULL, room * sizeof(*set.values), PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (set.values == MAP_FAILED)
		trial_fail("no memory for %zu samples", room);
	return set;
}

void cost_prefault(struct cost_set *set)
{
	volatile uint64_t *values = set->values;

	for (size_t i = 0; i < set->room; i += 4096 / sizeof(*values))
		values[i] = values[i];
}

void cost_prefault_code(void)
{
	extern char __executable_start[], edata[];
	char *page = __executable_start;

	/* Page by page: between segments there may be a gap. */
	for (; page < edata; page += 4096)
		if (madvise(page, 4096, MADV_POPULATE_READ) && errno != ENOMEM)
			trial_fail("madvise(MADV_POPULATE_READ) of the code: %s", strerror(errno));
}

void cost_run_fifo(void)
{
	const struct sched_param lowest = { .sched_priority = 1 };

	if (sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &lowest))
		trial_fail("sched_setscheduler: %s", strerror(errno));
}

void cost_wait_tick(void)
{
	const struct timespec ticks = { .tv_nsec = 20 * 1000 * 1000 };

	if (nanosleep(&ticks, NULL))
		trial_fail("nanosleep: %s", strerror(errno));
}

uint64_t cost_sum(const struct cost_set *set, size_t count)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < count; i++)
		sum += set->values[i];
	return sum;
}

/* Let values[root] sink to its place among the first `count`, largest on top. */
static void sink(uint64_t *values, size_t root, size_t count)
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

/* Heapsort: qsort() allocates memory for many samples. */
void cost_sort(uint64_t *values, size_t count)
{
	for (size_t root = count / 2; root--;)
		sink(values, root, count);
	while (count-- > 1) {
		uint64_t largest = values[0];

		values[0] = values[count];
		values[count] = largest;
		sink(values, 0, count);
	}
}

uint64_t cost_median(struct cost_set *set, size_t count)
{
	if (!count || count > set->room)
		trial_fail("%zu samples, room for %zu", count, set->room);
	cost_sort(set->values, count);
	return set->values[count / 2];
}

void cost_value(const char *name, uint64_t cost)
{
	trial_value(name, cost_shift >= 0 ? "instructions" : "ns", cost);
}

void cost_report(struct cost_set *set, size_t count, const char *name)
{
	char longer[96];

	cost_value(name, cost_median(set, count));
	snprintf(longer, sizeof(longer), "%s-least", name);
	cost_value(longer, set->values[0]);
	snprintf(longer, sizeof(longer), "%s-most", name);
	cost_value(longer, set->values[count - 1]);
}
