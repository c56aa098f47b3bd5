/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A crew of worker processes that take one step at a time, on command.
 *
 * The main process tells some or all of them to take a step; they take it at the same time, and
 * the command returns when the last has reported. Everybody waits on futexes in one shared
 * mapping: no spinning, no timer, and no descriptor per worker, whose tables would take 80 kB in
 * each of 10,000 processes. A worker that dies is noticed at once, through SIGCHLD.
 */
#ifndef CREW_H
#define CREW_H

#include <linux/futex.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "trial.h"

#define CREW_LEAVE (-1)

/* What a worker reports after a step; the meaning is the workload's. */
struct crew_report {
	long numbers[4];
};

typedef struct crew_report (*crew_duty)(size_t index, int step, const void *context);

/* One cache line per worker. `turn` is a futex: it counts the steps the worker was told. */
struct crew_slot {
	_Alignas(64) uint32_t turn;
	int step;
	struct crew_report report;
};

struct crew {
	size_t size;
	pid_t *pids;
	struct crew_slot *slots;
	/* A futex that counts reports, and deaths too, so that neither is slept through. */
	uint32_t *news;
	/* Workers that have reported since the last step was told. */
	uint32_t *reported;
};

/* Set by the signal handler of the main process. */
static volatile sig_atomic_t crew_death;
static uint32_t *crew_death_news;

static inline long crew_futex(uint32_t *word, int operation, uint32_t value)
{
	return syscall(SYS_futex, word, operation, value, NULL, NULL, 0);
}

static inline void crew_on_death(int number)
{
	(void)number;
	crew_death = 1;
	__atomic_fetch_add(crew_death_news, 1, __ATOMIC_SEQ_CST);
}

static inline void crew_report_in(struct crew *crew)
{
	__atomic_fetch_add(crew->reported, 1, __ATOMIC_SEQ_CST);
	__atomic_fetch_add(crew->news, 1, __ATOMIC_SEQ_CST);
	crew_futex(crew->news, FUTEX_WAKE, 1);
}

static inline _Noreturn void crew_serve(struct crew *crew, size_t index, crew_duty duty,
					const void *context)
{
	struct crew_slot *slot = &crew->slots[index];
	uint32_t turn = 0;

	trial_settle();
	for (;;) {
		crew_report_in(crew);
		while (__atomic_load_n(&slot->turn, __ATOMIC_SEQ_CST) == turn)
			crew_futex(&slot->turn, FUTEX_WAIT, turn);
		turn++;
		if (slot->step == CREW_LEAVE)
			_exit(0);
		slot->report = duty(index, slot->step, context);
	}
}

static inline _Noreturn void crew_lost(struct crew *crew)
{
	for (size_t i = 0; i < crew->size; i++) {
		int status;

		if (waitpid(crew->pids[i], &status, WNOHANG) != crew->pids[i])
			continue;
		if (WIFSIGNALED(status))
			trial_fail("worker %zu was killed by signal %d", i, WTERMSIG(status));
		trial_fail("worker %zu exited with status %d", i, WEXITSTATUS(status));
	}
	trial_fail("a child process that is no worker ended");
}

static inline void crew_await(struct crew *crew, size_t count)
{
	for (;;) {
		uint32_t news = __atomic_load_n(crew->news, __ATOMIC_SEQ_CST);

		if (crew_death)
			crew_lost(crew);
		if (__atomic_load_n(crew->reported, __ATOMIC_SEQ_CST) == count)
			return;
		crew_futex(crew->news, FUTEX_WAIT, news);
	}
}

/* Start `size` workers; returns when each has settled and waits for its first step. */
static inline void crew_start(struct crew *crew, size_t size, crew_duty duty, const void *context)
{
	struct sigaction on_death = { .sa_handler = crew_on_death };
	pid_t parent = getpid();

	crew->size = size;
	crew->pids = calloc(size, sizeof(*crew->pids));
	/* One slot more, for the two words of the crew itself. Populated: no table comes later. */
	crew->slots = mmap(NULL, (size + 1) * sizeof(*crew->slots), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (!crew->pids || crew->slots == MAP_FAILED)
		trial_fail("no memory for %zu workers", size);
	crew->news = &crew->slots[size].turn;
	crew->reported = (uint32_t *)&crew->slots[size].step;
	crew_death_news = crew->news;
	sigaction(SIGCHLD, &on_death, NULL);
	for (size_t i = 0; i < size; i++) {
		crew->pids[i] = fork();
		if (crew->pids[i] < 0)
			trial_fail("worker %zu: fork: %s", i, strerror(errno));
		if (!crew->pids[i]) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			if (getppid() != parent)
				_exit(1);
			signal(SIGCHLD, SIG_DFL);
			crew_serve(crew, i, duty, context);
		}
	}
	crew_await(crew, size);
}

static inline void crew_tell(struct crew *crew, size_t first, size_t end, int step)
{
	__atomic_store_n(crew->reported, 0, __ATOMIC_SEQ_CST);
	for (size_t i = first; i < end; i++) {
		crew->slots[i].step = step;
		__atomic_fetch_add(&crew->slots[i].turn, 1, __ATOMIC_SEQ_CST);
		crew_futex(&crew->slots[i].turn, FUTEX_WAKE, 1);
	}
}

/* Let workers first..end-1 take a step together; then their reports are in their slots. */
static inline void crew_step(struct crew *crew, size_t first, size_t end, int step)
{
	crew_tell(crew, first, end, step);
	crew_await(crew, end - first);
}

/* Let all workers exit, with whatever they have mapped, and wait until they have. */
static inline void crew_dismiss(struct crew *crew)
{
	crew_tell(crew, 0, crew->size, CREW_LEAVE);
	for (size_t i = 0; i < crew->size; i++) {
		int status;
		pid_t pid;

		do {
			pid = waitpid(crew->pids[i], &status, 0);
		} while (pid < 0 && errno == EINTR);
		if (pid != crew->pids[i] || status)
			trial_fail("worker %zu ended with wait status 0x%x", i, status);
	}
}

#endif
