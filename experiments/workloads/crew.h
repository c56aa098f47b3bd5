/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A crew of worker processes that take one step at a time, on command.
 *
 * The main process tells some or all of them to take a step; they do it at the same time, and
 * the command returns when the last has reported. Everybody waits in recv(), so waiting costs
 * nothing and a worker that dies is noticed at once: its socket ends.
 */
#ifndef CREW_H
#define CREW_H

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "trial.h"

/* What a worker answers after a step; the meaning is the workload's. */
struct crew_report {
	long numbers[4];
};

typedef struct crew_report (*crew_duty)(size_t index, int step, const void *context);

struct crew {
	size_t size;
	pid_t *pids;
	int *sockets;
	struct crew_report *reports;
};

static inline _Noreturn void crew_serve(int channel, size_t index, crew_duty duty,
					const void *context)
{
	int step;

	while (recv(channel, &step, sizeof(step), 0) == sizeof(step)) {
		struct crew_report report = duty(index, step, context);

		if (send(channel, &report, sizeof(report), MSG_NOSIGNAL) != sizeof(report))
			_exit(1);
	}
	_exit(0);
}

/* Start `size` workers; each waits for its first step. */
static inline void crew_start(struct crew *crew, size_t size, crew_duty duty, const void *context)
{
	pid_t parent = getpid();

	crew->size = size;
	crew->pids = calloc(size, sizeof(*crew->pids));
	crew->sockets = calloc(size, sizeof(*crew->sockets));
	crew->reports = calloc(size, sizeof(*crew->reports));
	if (!crew->pids || !crew->sockets || !crew->reports)
		trial_fail("no memory for %zu workers", size);
	for (size_t i = 0; i < size; i++) {
		int pair[2];

		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
			trial_fail("worker %zu: socketpair: %s", i, strerror(errno));
		crew->pids[i] = fork();
		if (crew->pids[i] < 0)
			trial_fail("worker %zu: fork: %s", i, strerror(errno));
		if (!crew->pids[i]) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			if (getppid() != parent)
				_exit(1);
			/* Else a worker would keep its elders' sockets from ending. */
			for (size_t elder = 0; elder < i; elder++)
				close(crew->sockets[elder]);
			close(pair[0]);
			crew_serve(pair[1], i, duty, context);
		}
		close(pair[1]);
		crew->sockets[i] = pair[0];
	}
}

static inline _Noreturn void crew_lost(struct crew *crew, size_t index)
{
	int status = 0;

	waitpid(crew->pids[index], &status, 0);
	if (WIFSIGNALED(status))
		trial_fail("worker %zu was killed by signal %d", index, WTERMSIG(status));
	trial_fail("worker %zu exited with status %d", index, WEXITSTATUS(status));
}

/* Let workers first..end-1 take a step together; their reports are in crew->reports. */
static inline void crew_step(struct crew *crew, size_t first, size_t end, int step)
{
	for (size_t i = first; i < end; i++)
		if (send(crew->sockets[i], &step, sizeof(step), MSG_NOSIGNAL) != sizeof(step))
			crew_lost(crew, i);
	for (size_t i = first; i < end; i++)
		if (recv(crew->sockets[i], &crew->reports[i], sizeof(crew->reports[i]), 0) !=
		    sizeof(crew->reports[i]))
			crew_lost(crew, i);
}

/* Let workers first..end-1 exit, with whatever they have mapped, and wait until they have. */
static inline void crew_dismiss(struct crew *crew, size_t first, size_t end)
{
	for (size_t i = first; i < end; i++)
		close(crew->sockets[i]);
	for (size_t i = first; i < end; i++) {
		int status;

		if (waitpid(crew->pids[i], &status, 0) != crew->pids[i] || status)
			trial_fail("worker %zu ended with wait status 0x%x", i, status);
	}
}

#endif
