/* SPDX-License-Identifier: GPL-2.0 */
#include "actor.h"
#include "mapping.h"
#include "operation.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

struct arena *arena;
static struct actor self;

void fail(int process, const char *format, ...)
{
	char text[400];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (!atomic_exchange(&arena->failed, 1))
		snprintf(arena->failure, sizeof(arena->failure), "actor %d: %s", process, text);
	atomic_store(&arena->stop, 1);
}

/* Stays on one spot for a while, so that the TLB is warm, then goes elsewhere. */
static void *touch_for_ever(void *seed)
{
	static __thread uint32_t seen[MAX_FILES][SPOTS];
	static _Atomic int threads;
	uint64_t random = (uintptr_t)seed;
	/* Behind the places that the main threads have on the raw device. */
	off_t place = ((2 + atomic_fetch_add(&threads, 1)) * MAX_PROCESSES + self.process) * PAGE;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(draw(&random, sysconf(_SC_NPROCESSORS_ONLN)), &set);
	sched_setaffinity(0, sizeof(set), &set);
	while (!atomic_load(&arena->stop)) {
		struct mapping *m = &self.mappings[draw(&random, self.mapping_count)];
		int spot = draw(&random, SPOTS), turns = 1 << draw(&random, 10);
		bool stores = !m->private && !draw(&random, 2);

		for (int i = 0; i < turns && !atomic_load(&arena->stop); i++) {
			load_spot(&self, m, spot, seen);
			if (stores)
				store_spot(&self, m, spot);
		}
		atomic_fetch_add(&arena->touches, turns);
		/* While the main thread does anything to the mapping. */
		if (self.raw_fd >= 0 && !draw(&random, 4))
			pin_spot(&self, m, spot, place, seen);
		usleep(draw(&random, 5000));
	}
	return NULL;
}

void act(int process, uint64_t seed)
{
	struct post *post = &arena->posts[process];
	pthread_t thread;
	int threads;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	catch_signals();
	self.process = process;
	self.random = seed;
	self.raw_fd = arena->raw_device ? open(arena->raw_device, O_RDWR | O_DIRECT) : -1;
	mappings_prepare(&self);
	operate_first(&self);
	threads = draw(&self.random, 3);
	for (int i = 0; i < threads; i++) {
		uint64_t its_seed = draw(&self.random, 1ULL << 31) * 2 + 1;

		if (pthread_create(&thread, NULL, touch_for_ever, (void *)(uintptr_t)its_seed))
			fail(process, "no thread");
	}
	while (!atomic_load(&arena->stop)) {
		uint64_t number = atomic_load(&post->done);

		operate(&self, post->trace[number % TRACE], sizeof(post->trace[0]));
		atomic_store(&post->done, number + 1);
	}
	exit_group();
}
