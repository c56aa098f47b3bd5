/* SPDX-License-Identifier: GPL-2.0 */
/*
 * TLB shootdowns: how often a processor was interrupted to flush its TLB for another one.
 *
 * A processor is interrupted only if it runs the address space that changes. So that it does,
 * companions are started: threads of this process, one on each further processor, that spin.
 */
#ifndef SHOOTDOWNS_H
#define SHOOTDOWNS_H

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>

#include "trial.h"

#define MOST_COMPANIONS 7

/* Pin the calling thread to one processor. */
static inline void run_on(int processor)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(processor, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		trial_fail("processor %d: %s", processor, strerror(errno));
}

/* The line "TLB:" of /proc/interrupts, summed over processors. */
static inline long shootdowns(void)
{
	static char text[16384];
	int fd = open("/proc/interrupts", O_RDONLY | O_CLOEXEC);
	size_t used = 0;
	ssize_t got;
	long sum = 0;
	char *at;

	if (fd < 0)
		trial_fail("/proc/interrupts: %s", strerror(errno));
	while ((got = read(fd, text + used, sizeof(text) - 1 - used)) > 0)
		used += got;
	close(fd);
	text[used] = '\0';
	at = strstr(text, "TLB:");
	if (!at)
		trial_fail("/proc/interrupts has no line TLB");
	for (at += 4;;) {
		char *end;
		long count = strtol(at, &end, 10);

		if (end == at)
			return sum;
		sum += count;
		at = end;
	}
}

struct companions {
	int count, stop, running;
	pthread_t threads[MOST_COMPANIONS];
};

static inline void *companion(void *argument)
{
	struct companions *all = argument;

	run_on(__atomic_add_fetch(&all->running, 1, __ATOMIC_SEQ_CST));
	while (!__atomic_load_n(&all->stop, __ATOMIC_RELAXED))
		__builtin_ia32_pause();
	return NULL;
}

/*
 * This thread goes to processor 0, `count` companions to 1 and up. The counter is read once before it
 * matters: in a child of fork() the first reading copies a page of the buffer, whose old entry is
 * flushed on every processor, after the line that counts flushes has been written.
 */
static inline void companions_start(struct companions *all, int count)
{
	*all = (struct companions){ .count = count };
	if (!count)
		return;
	run_on(0);
	for (int i = 0; i < count; i++)
		if (pthread_create(&all->threads[i], NULL, companion, all))
			trial_fail("a companion cannot be started");
	while (__atomic_load_n(&all->running, __ATOMIC_SEQ_CST) < count)
		sched_yield();
	/* They have been told to move; give them until they have. */
	for (int i = 0; i < 8; i++)
		usleep(1000);
	shootdowns();
}

static inline void companions_stop(struct companions *all)
{
	__atomic_store_n(&all->stop, 1, __ATOMIC_SEQ_CST);
	for (int i = 0; i < all->count; i++)
		pthread_join(all->threads[i], NULL);
}

#endif
