/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Worker processes that take one step at a time, on command.
 *
 * The main process has some or all of them take a step at the same time; the command returns when
 * the last has reported. All wait on futexes in one shared mapping: no spinning, no timer, and no
 * descriptor per worker, whose tables would take 80 kB in each of 10,000 processes. SIGCHLD shows
 * the death of a worker at once.
 */
#ifndef WORKERS_H
#define WORKERS_H

#include "trial.h"

/* What a worker reports after a step; the workload knows the meaning. */
struct worker_report {
	long numbers[4];
};

typedef struct worker_report (*worker_step_fn)(size_t index, int step, const void *context);

/* One cache line per worker. `turn` is a futex: it counts the steps the worker has been given. */
struct worker_slot {
	_Alignas(64) uint32_t turn;
	int step;
	struct worker_report report;
};

struct workers {
	size_t size;
	pid_t *pids;
	struct worker_slot *slots;
	/* A futex that counts reports and deaths, so that neither is slept through. */
	uint32_t *events;
	/* Workers that have reported since the last step began. */
	uint32_t *reported;
};

/* Start `size` workers; returns when each waits for its first step. */
void workers_start(struct workers *workers, size_t size, worker_step_fn run, const void *context);

/* Have workers first..end-1 take a step together; then their reports are in their slots. */
void workers_step(struct workers *workers, size_t first, size_t end, int step);

/* Have one worker take a step; returns the numbers of its report. */
const long *workers_step_one(struct workers *workers, size_t index, int step);

/* Have all workers exit, with whatever they have mapped, and wait until they have. */
void workers_stop(struct workers *workers);

#endif
