/* SPDX-License-Identifier: GPL-2.0 */
#include "workers.h"

#include <linux/futex.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* The step that makes a worker exit. */
#define STEP_EXIT (-1)

/* Set by the signal handler of the main process. */
static volatile sig_atomic_t worker_died;
static uint32_t *death_event;

static long futex(uint32_t *word, int operation, uint32_t value)
{
	return syscall(SYS_futex, word, operation, value, NULL, NULL, 0);
}

static void on_sigchld(int number)
{
	(void)number;
	worker_died = 1;
	__atomic_fetch_add(death_event, 1, __ATOMIC_SEQ_CST);
}

static void report_in(struct workers *workers)
{
	__atomic_fetch_add(workers->reported, 1, __ATOMIC_SEQ_CST);
	__atomic_fetch_add(workers->events, 1, __ATOMIC_SEQ_CST);
	futex(workers->events, FUTEX_WAKE, 1);
}

static _Noreturn void take_steps(struct workers *workers, size_t index, worker_step_fn run,
				 const void *context)
{
	struct worker_slot *slot = &workers->slots[index];
	uint32_t turn = 0;

	trial_prefault();
	for (;;) {
		report_in(workers);
		while (__atomic_load_n(&slot->turn, __ATOMIC_SEQ_CST) == turn)
			futex(&slot->turn, FUTEX_WAIT, turn);
		turn++;
		if (slot->step == STEP_EXIT)
			_exit(0);
		slot->report = run(index, slot->step, context);
	}
}

static _Noreturn void fail_on_death(struct workers *workers)
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

static void wait_for_reports(struct workers *workers, size_t count)
{
	for (;;) {
		uint32_t events = __atomic_load_n(workers->events, __ATOMIC_SEQ_CST);

		if (worker_died)
			fail_on_death(workers);
		if (__atomic_load_n(workers->reported, __ATOMIC_SEQ_CST) == count)
			return;
		futex(workers->events, FUTEX_WAIT, events);
	}
}

void workers_start(struct workers *workers, size_t size, worker_step_fn run, const void *context)
{
	struct sigaction on_death = { .sa_handler = on_sigchld };
	pid_t parent = getpid();

	workers->size = size;
	workers->pids = calloc(size, sizeof(*workers->pids));
	/* One slot more, for the two words that all share. Populated: no table comes later. */
	workers->slots = mmap(NULL, (size + 1) * sizeof(*workers->slots), PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (!workers->pids || workers->slots == MAP_FAILED)
		trial_fail("no memory for %zu workers", size);
	workers->events = &workers->slots[size].turn;
	workers->reported = (uint32_t *)&workers->slots[size].step;
	death_event = workers->events;
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
			take_steps(workers, i, run, context);
		}
	}
	wait_for_reports(workers, size);
}

static void begin_step(struct workers *workers, size_t first, size_t end, int step)
{
	__atomic_store_n(workers->reported, 0, __ATOMIC_SEQ_CST);
	for (size_t i = first; i < end; i++) {
		workers->slots[i].step = step;
		__atomic_fetch_add(&workers->slots[i].turn, 1, __ATOMIC_SEQ_CST);
		futex(&workers->slots[i].turn, FUTEX_WAKE, 1);
	}
}

void workers_step(struct workers *workers, size_t first, size_t end, int step)
{
	begin_step(workers, first, end, step);
	wait_for_reports(workers, end - first);
}

const long *workers_step_one(struct workers *workers, size_t index, int step)
{
	workers_step(workers, index, index + 1, step);
	return workers->slots[index].report.numbers;
}

void workers_stop(struct workers *workers)
{
	begin_step(workers, 0, workers->size, STEP_EXIT);
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
