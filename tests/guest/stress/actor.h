/* SPDX-License-Identifier: GPL-2.0 */
/* One process of the stress: its mappings, its threads, what it does next. */
#ifndef ACTOR_H
#define ACTOR_H

#include "truth.h"

#include <sys/types.h>

#define TRACE	       12 /* operations remembered for a report */
#define MAX_OPERATIONS 48

struct post { /* of one actor, in shared memory */
	pid_t pid;
	uint64_t seed;
	_Atomic uint64_t done; /* operations */
	char trace[TRACE][72];
};

struct arena { /* shared by all processes */
	struct truth truth;
	const char *raw_device; /* or NULL */
	_Atomic int stop;
	_Atomic int failed; /* the first failure wins */
	char failure[1024];
	_Atomic uint64_t counts[MAX_OPERATIONS];
	_Atomic uint64_t touches; /* loads and stores by threads */
	_Atomic uint64_t lingered,
		lingered_ms; /* zeroes that went away, see truth.h; the longest */
	struct post posts[MAX_PROCESSES];
};

extern struct arena *arena;

/* Never returns: acts until it is stopped, then exits with 0. */
void act(int process, uint64_t seed) __attribute__((noreturn));
/* Reports and ends the whole run. */
void fail(int process, const char *format, ...) __attribute__((format(printf, 2, 3)));
const char *operation_name(int index); /* NULL behind the last */

#endif
