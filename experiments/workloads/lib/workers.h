/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Worker processes that take one step at a time, on command.
 *
 * The main process tells some or all of them to take a step; they take it at the same time, and
 * the command returns when the last has reported. Everybody waits on futexes in one shared
 * mapping: no spinning, no timer, and no descriptor per worker, whose tables would take 80 kB in
 * each of 10,000 processes. A worker that dies is noticed at once, through SIGCHLD.
 */
#ifndef WORKERS_H
#define WORKERS_H

#include <linux/futex.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "trial.h"

#define WORKERS_EXIT (-1)

/* What a worker reports after a step; the meaning is the workload's. */
struct worker_report {
	long numbers[4];
};

typedef struct worker_report (*worker_step_fn)(size_t index, int step, const void *context);

/* One cache line per worker. `turn` is a futex: it counts the steps the worker was told. */
struct worker_slot {
	_Alignas(64) uint32_t turn;
	int step;
	struct worker_report report;
};

struct workers {
	size_t size;
	pid_t *pids;
	struct worker_slot *slots;
	/* A futex that counts reports, and deaths too, so that neither is slept through. */
	uint32_t *news;
	/* Workers that have reported since the last step was told. */
	uint32_t *reported;
};

/* Set by the signal handler of the main process. */
static volatile sig_atomic_t workers_died;
static uint32_t *workers_event_word;

static inline long workers_futex(uint32_t *word, int operation, uint32_t value)
{
	return syscall(SYS_futex, word, operation, value, NULL, NULL, 0);
}

static inline void workers_on_sigchld(int number)
{
	(void)number;
	workers_died = 1;
	__atomic_fetch_add(workers_event_word, 1, __ATOMIC_SEQ_CST);
}

static inline void worker_report_in(struct workers *workers)
{
	__atomic_fetch_add(workers->reported, 1, __ATOMIC_SEQ_CST);
	__atomic_fetch_add(workers->news, 1, __ATOMIC_SEQ_CST);
	workers_futex(workers->news, FUTEX_WAKE, 1);
}

static inline _Noreturn void worker_loop(struct workers *workers, size_t index, worker_step_fn duty,
					const void *context)
{
	struct worker_slot *slot = &workers->slots[index];
	uint32_t turn = 0;

	trial_settle();
	for (;;) {
		worker_report_in(workers);
		while (__atomic_load_n(&slot->turn, __ATOMIC_SEQ_CST) == turn)
			workers_futex(&slot->turn, FUTEX_WAIT, turn);
		turn++;
		if (slot->step == WORKERS_EXIT)
			_exit(0);
		slot->report = duty(index, slot->step, context);
	}
}

static inline _Noreturn void workers_fail_on_death(struct workers *workers)
{
	for (size_t i = 0; i < workers->size; i++) {
		int status;

		if (waitpid(workers->pids[i], &status, WNOHANG) != workers->pids[i])
			continue;
		if (WIFSIGNALED(status))
			trial_fail("worker %zu was killed by signal %d", i, WTERMSIG(status));
		trial_fail("worker %zu exited with status %d", i, WEXITSTATUS(status));
	}
	trial_fail("a child process that is no worker ended");
}

static inline void workers_wait(struct workers *workers, size_t count)
{
	for (;;) {
		uint32_t news = __atomic_load_n(workers->news, __ATOMIC_SEQ_CST);

		if (workers_died)
			workers_fail_on_death(workers);
		if (__atomic_load_n(workers->reported, __ATOMIC_SEQ_CST) == count)
			return;
		workers_futex(workers->news, FUTEX_WAIT, news);
	}
}

/* Start `size` workers; returns when each has settled and waits for its first step. */
static inline void workers_start(struct workers *workers, size_t size, worker_step_fn duty, const void *context)
{
	struct sigaction on_death = { .sa_handler = workers_on_sigchld };
	pid_t parent = getpid();

	workers->size = size;
	workers->pids = calloc(size, sizeof(*workers->pids));
	/* One slot more, for the two words that all share. Populated: no table comes later. */
	workers->slots = mmap(NULL, (size + 1) * sizeof(*workers->slots), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (!workers->pids || workers->slots == MAP_FAILED)
		trial_fail("no memory for %zu workers", size);
	workers->news = &workers->slots[size].turn;
	workers->reported = (uint32_t *)&workers->slots[size].step;
	workers_event_word = workers->news;
	sigaction(SIGCHLD, &on_death, NULL);
	for (size_t i = 0; i < size; i++) {
		workers->pids[i] = fork();
		if (workers->pids[i] < 0)
			trial_fail("worker %zu: fork: %s", i, strerror(errno));
		if (!workers->pids[i]) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			if (getppid() != parent)
				_exit(1);
			signal(SIGCHLD, SIG_DFL);
			worker_loop(workers, i, duty, context);
		}
	}
	workers_wait(workers, size);
}

static inline void workers_wake(struct workers *workers, size_t first, size_t end, int step)
{
	__atomic_store_n(workers->reported, 0, __ATOMIC_SEQ_CST);
	for (size_t i = first; i < end; i++) {
		workers->slots[i].step = step;
		__atomic_fetch_add(&workers->slots[i].turn, 1, __ATOMIC_SEQ_CST);
		workers_futex(&workers->slots[i].turn, FUTEX_WAKE, 1);
	}
}

/* Let workers first..end-1 take a step together; then their reports are in their slots. */
static inline void workers_step(struct workers *workers, size_t first, size_t end, int step)
{
	workers_wake(workers, first, end, step);
	workers_wait(workers, end - first);
}

/* Let all workers exit, with whatever they have mapped, and wait until they have. */
static inline void workers_stop(struct workers *workers)
{
	workers_wake(workers, 0, workers->size, WORKERS_EXIT);
	for (size_t i = 0; i < workers->size; i++) {
		int status;
		pid_t pid;

		do {
			pid = waitpid(workers->pids[i], &status, 0);
		} while (pid < 0 && errno == EINTR);
		if (pid != workers->pids[i] || status)
			trial_fail("worker %zu ended with wait status 0x%x", i, status);
	}
}

#endif
