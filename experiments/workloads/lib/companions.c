/* SPDX-License-Identifier: GPL-2.0 */
#include "companions.h"

#include <sched.h>

#include "shootdowns.h"
#include "trial.h"

/* Pin the calling thread to one processor. */
static void run_on(int processor)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(processor, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		trial_fail("processor %d: %s", processor, strerror(errno));
}

static void *companion(void *argument)
{
	struct companions *all = argument;

	run_on(__atomic_add_fetch(&all->running, 1, __ATOMIC_SEQ_CST));
	while (!__atomic_load_n(&all->stop, __ATOMIC_RELAXED))
		__builtin_ia32_pause();
	return NULL;
}

/*
 * The counter is read once before it matters: in a child of fork() the first reading copies a page
 * of the buffer, whose old entry is flushed on every processor, after the line that counts flushes
 * has been written.
 */
void companions_start(struct companions *all, int count)
{
	*all = (struct companions){ .count = count };
	if (!count)
		return;
	run_on(0);
	for (int i = 0; i < count; i++)
		if (pthread_create(&all->threads[i], NULL, companion, all))
			trial_fail("cannot start a companion");
	while (__atomic_load_n(&all->running, __ATOMIC_SEQ_CST) < count)
		sched_yield();
	/* They run, but the scheduler may not have moved them yet. */
	for (int i = 0; i < 8; i++)
		usleep(1000);
	shootdowns();
}

void companions_stop(struct companions *all)
{
	__atomic_store_n(&all->stop, 1, __ATOMIC_SEQ_CST);
	for (int i = 0; i < all->count; i++)
		pthread_join(all->threads[i], NULL);
}
