/* SPDX-License-Identifier: GPL-2.0 */
#include "worker.h"
#include "harness.h"
#include "../lib/util.h"

#include <errno.h>
#include <immintrin.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum state { IDLE, POSTED, DONE };
enum operation {
	OP_CALL,
	OP_CALL_GUARDED,
	OP_REPEAT,
	OP_LOAD,
	OP_STORE,
	OP_RUN,
	OP_FIND_OTHER,
	OP_SPIN_LOAD,
	OP_SPIN_STORE,
	OP_FORK,
	OP_THREAD,
	OP_PKRU,
	OP_EXEC,
	OP_EXIT,
};

struct mailbox {
	_Atomic uint32_t state;
	_Atomic uint32_t stop;		/* ends a spin */
	_Atomic uint64_t turns, latest; /* of a spin */
	uint32_t delay;			/* behind the gate */
	enum operation operation;
	long number;
	uint64_t argument[6];
	long result;
	struct touch touch;
	char scratch[SCRATCH_BYTES] __attribute__((aligned(64)));
};

struct gate {
	_Atomic uint32_t closed, arrived;
};

static struct mailbox *mailboxes;
static struct gate *gate;
static struct worker workers[MAX_WORKERS];
static int worker_count;

/* ---- The worker's side ------------------------------------------------- */

static __thread sigjmp_buf escape;
static __thread volatile sig_atomic_t guarded;
static __thread struct touch caught;
static __thread bool pkru_valid;
static __thread uint32_t pkru;

static void write_pkru(uint32_t value)
{
	asm volatile(".byte 0x0f,0x01,0xef" : : "a"(value), "c"(0), "d"(0));
}

static void on_fault(int signal, siginfo_t *info, void *context)
{
	(void)context;
	if (!guarded)
		_exit(100 + signal);
	guarded = 0;
	caught = (struct touch){ signal, info->si_code, ADDRESS_OF(info->si_addr), 0 };
	siglongjmp(escape, 1);
}

static void futex(_Atomic uint32_t *word, int operation, uint32_t value,
		  const struct timespec *timeout)
{
	syscall(SYS_futex, word, operation, value, timeout, NULL, 0);
}

static long call_now(struct mailbox *box)
{
	uint64_t *a = box->argument;
	long result = syscall(box->number, a[0], a[1], a[2], a[3], a[4], a[5]);

	return result == -1 ? -errno : result;
}

/* Not inlined: what siglongjmp restores must not live in a clobbered register. */
static __attribute__((noinline)) struct touch guarded_access(struct mailbox *box)
{
	volatile uint64_t *word = (volatile uint64_t *)box->argument[0];
	struct touch good = { 0 };

	if (sigsetjmp(escape, 1)) {
		/* Delivery of the signal has loaded the default PKRU. */
		if (pkru_valid)
			write_pkru(pkru);
		return caught;
	}
	guarded = 1;
	switch (box->operation) {
	case OP_CALL_GUARDED:
		good.value = call_now(box);
		break;
	case OP_LOAD:
		good.value = *word;
		break;
	case OP_STORE:
		*word = box->argument[1];
		break;
	case OP_RUN:
		((void (*)(void))box->argument[0])();
		break;
	case OP_FIND_OTHER:
		good.value = ALL_THE_SAME;
		for (uint64_t at = 0; at < box->argument[1]; at += box->argument[3])
			if (word[at / 8] != box->argument[2]) {
				good.value = at;
				break;
			}
		break;
	case OP_SPIN_LOAD:
		while (!atomic_load_explicit(&box->stop, memory_order_relaxed)) {
			atomic_store_explicit(&box->latest, *word, memory_order_relaxed);
			atomic_fetch_add_explicit(&box->turns, 1, memory_order_release);
		}
		break;
	case OP_SPIN_STORE:
		for (uint64_t i = 1; !atomic_load_explicit(&box->stop, memory_order_relaxed); i++) {
			*word = i;
			atomic_store_explicit(&box->latest, i, memory_order_relaxed);
			atomic_fetch_add_explicit(&box->turns, 1, memory_order_release);
		}
		break;
	default:
		break;
	}
	guarded = 0;
	return good;
}

static void serve(struct mailbox *box);

static void *thread_main(void *box)
{
	serve(box);
	return NULL;
}

static long start_thread(struct mailbox *box)
{
	pthread_t thread;
	int error = pthread_create(&thread, NULL, thread_main, box);

	return -error;
}

static long repeat(struct mailbox *box)
{
	long result;

	do {
		result = call_now(box);
		atomic_fetch_add(&box->turns, 1);
	} while (result >= 0 && !atomic_load(&box->stop));
	return result;
}

/* fork(2), but the child belongs to the case, which can then wait for it. */
static long start_fork(struct mailbox *box)
{
	long pid = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);

	if (pid == 0)
		serve(box);
	return pid < 0 ? -errno : pid;
}

static void execute(struct mailbox *box)
{
	uint64_t *a = box->argument;
	long result = 0;

	switch (box->operation) {
	case OP_CALL:
		result = call_now(box);
		break;
	case OP_REPEAT:
		result = repeat(box);
		break;
	case OP_FORK:
		result = start_fork(&mailboxes[a[0]]);
		break;
	case OP_THREAD:
		result = start_thread(&mailboxes[a[0]]);
		break;
	case OP_PKRU:
		pkru = a[0];
		pkru_valid = true;
		write_pkru(pkru);
		break;
	case OP_EXEC:
		execl("/proc/self/exe", "semantics", EXEC_ARGUMENT, (char *)NULL);
		result = -errno;
		break;
	case OP_EXIT:
		_exit(0);
	default:
		box->touch = guarded_access(box);
		break;
	}
	box->result = result;
}

static void serve(struct mailbox *box)
{
	uint32_t seen;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		while ((seen = atomic_load(&box->state)) != POSTED)
			futex(&box->state, FUTEX_WAIT, seen, NULL);
		if (atomic_load(&gate->closed)) {
			atomic_fetch_add(&gate->arrived, 1);
			while (atomic_load(&gate->closed))
				;
			for (volatile uint32_t i = box->delay; i; i--)
				;
		}
		execute(box);
		atomic_store(&box->state, DONE);
		futex(&box->state, FUTEX_WAKE, 1, NULL);
	}
}

/* ---- The case's side --------------------------------------------------- */

void workers_prepare(void)
{
	struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER };

	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
	mailboxes = mmap(NULL, MAX_WORKERS * sizeof(*mailboxes), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	require(mailboxes != MAP_FAILED, "no memory for mailboxes");
	memset(mailboxes, 0, MAX_WORKERS * sizeof(*mailboxes));
	gate = mmap(NULL, sizeof(*gate), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	require(gate != MAP_FAILED, "no memory for a gate");
}

void gate_close(void)
{
	atomic_store(&gate->arrived, 0);
	atomic_store(&gate->closed, 1);
}

void gate_open(int count)
{
	while ((int)atomic_load(&gate->arrived) < count)
		sched_yield();
	atomic_store(&gate->closed, 0);
}

void gate_delay(struct worker *w, uint32_t count)
{
	mailboxes[w->slot].delay = count;
}

static struct mailbox *box_of(struct worker *w)
{
	return &mailboxes[w->slot];
}

void *worker_scratch(struct worker *w)
{
	return box_of(w)->scratch;
}

static struct worker *new_worker(const char *name)
{
	struct worker *w = &workers[worker_count];

	require(worker_count < MAX_WORKERS, "too many workers");
	*w = (struct worker){ .name = name, .slot = worker_count++ };
	return w;
}

static void post(struct worker *w, enum operation operation)
{
	struct mailbox *box = box_of(w);

	require(!w->gone, "%s is gone and cannot be asked", w->name);
	box->operation = operation;
	atomic_store(&box->state, POSTED);
	futex(&box->state, FUTEX_WAKE, 1, NULL);
}

/* Fails the case if the process of @w has died while it was at work. */
static void check_alive(struct worker *w)
{
	siginfo_t info = { .si_pid = 0 };

	if (waitid(P_PID, w->pid, &info, WEXITED | WNOHANG | WNOWAIT) || !info.si_pid)
		return;
	fail_now("%s died unexpectedly: %s %d", w->name,
		 info.si_code == CLD_EXITED ? "exit status" : "signal", info.si_status);
}

bool worker_done(struct worker *w, int milliseconds)
{
	struct mailbox *box = box_of(w);
	int64_t deadline = now_ms() + milliseconds;

	while (atomic_load(&box->state) != DONE) {
		struct timespec slice = { .tv_nsec = 20 * 1000 * 1000 };

		if (now_ms() >= deadline)
			return false;
		futex(&box->state, FUTEX_WAIT, POSTED, &slice);
		if (atomic_load(&box->state) != DONE)
			check_alive(w);
	}
	return true;
}

static void finish(struct worker *w)
{
	/* The harness ends a case that takes too long; here it may take any time. */
	while (!worker_done(w, 1000))
		;
	atomic_store(&box_of(w)->state, IDLE);
}

/* Breaks the copies fork left behind, so that fault counts are the case's own. */
static void settle(struct worker *w)
{
	uint64_t here = ADDRESS_OF(worker_scratch(w));

	for (int i = 0; i < 2; i++) {
		worker_store(w, here, 1);
		worker_load(w, here);
		call(w, SYS_getppid);
	}
}

struct worker *worker_start(const char *name)
{
	struct worker *w = new_worker(name);

	w->pid = fork();
	require(w->pid >= 0, "fork: %s", strerror(errno));
	if (w->pid == 0)
		serve(box_of(w));
	settle(w);
	return w;
}

struct worker *worker_fork(struct worker *parent, const char *name)
{
	struct worker *w = new_worker(name);

	box_of(parent)->argument[0] = w->slot;
	post(parent, OP_FORK);
	finish(parent);
	require(box_of(parent)->result > 0, "%s cannot fork: %s", parent->name,
		strerror(-box_of(parent)->result));
	w->pid = box_of(parent)->result;
	settle(w);
	return w;
}

struct worker *worker_thread(struct worker *parent, const char *name)
{
	struct worker *w = new_worker(name);

	box_of(parent)->argument[0] = w->slot;
	w->pid = parent->pid;
	w->thread = true;
	post(parent, OP_THREAD);
	finish(parent);
	require(!box_of(parent)->result, "%s cannot start a thread: %s", parent->name,
		strerror(-box_of(parent)->result));
	settle(w);
	return w;
}

void worker_pin(struct worker *w, int cpu)
{
	cpu_set_t *set = worker_scratch(w);
	long got;

	CPU_ZERO(set);
	CPU_SET(cpu, set);
	got = call(w, SYS_sched_setaffinity, 0, sizeof(*set), ADDRESS_OF(set));
	require(got >= 0, "cannot pin %s to processor %d: %s", w->name, cpu, strerror(-got));
}

void worker_call_begin(struct worker *w, long number, const uint64_t arguments[6])
{
	struct mailbox *box = box_of(w);

	box->number = number;
	memcpy(box->argument, arguments, sizeof(box->argument));
	post(w, OP_CALL);
}

long worker_call_end(struct worker *w)
{
	finish(w);
	return box_of(w)->result;
}

long worker_call(struct worker *w, long number, const uint64_t arguments[6])
{
	worker_call_begin(w, number, arguments);
	return worker_call_end(w);
}

struct touch worker_call_guarded(struct worker *w, long number, const uint64_t arguments[6])
{
	struct mailbox *box = box_of(w);

	box->number = number;
	memcpy(box->argument, arguments, sizeof(box->argument));
	post(w, OP_CALL_GUARDED);
	return worker_touch_end(w);
}

void worker_repeat(struct worker *w, long number, const uint64_t arguments[6])
{
	struct mailbox *box = box_of(w);

	box->number = number;
	memcpy(box->argument, arguments, sizeof(box->argument));
	atomic_store(&box->stop, 0);
	atomic_store(&box->turns, 0);
	post(w, OP_REPEAT);
	while (!spin_count(w) && atomic_load(&box->state) != DONE)
		sched_yield();
}

long repeat_end(struct worker *w)
{
	atomic_store(&box_of(w)->stop, 1);
	return worker_call_end(w);
}

static void touch_begin(struct worker *w, enum operation operation, uint64_t address,
			uint64_t second, uint64_t third)
{
	struct mailbox *box = box_of(w);

	box->argument[0] = address;
	box->argument[1] = second;
	box->argument[2] = third;
	post(w, operation);
}

struct touch worker_touch_end(struct worker *w)
{
	finish(w);
	return box_of(w)->touch;
}

struct touch worker_load(struct worker *w, uint64_t address)
{
	touch_begin(w, OP_LOAD, address, 0, 0);
	return worker_touch_end(w);
}

void worker_store_begin(struct worker *w, uint64_t address, uint64_t value)
{
	touch_begin(w, OP_STORE, address, value, 0);
}

struct touch worker_store(struct worker *w, uint64_t address, uint64_t value)
{
	worker_store_begin(w, address, value);
	return worker_touch_end(w);
}

struct touch worker_run(struct worker *w, uint64_t code)
{
	touch_begin(w, OP_RUN, code, 0, 0);
	return worker_touch_end(w);
}

void worker_sweep_begin(struct worker *w, uint64_t address, uint64_t bytes, uint64_t stride,
			uint64_t value)
{
	box_of(w)->argument[3] = stride;
	touch_begin(w, OP_FIND_OTHER, address, bytes, value);
}

struct touch worker_find_other(struct worker *w, uint64_t address, uint64_t bytes, uint64_t value)
{
	worker_sweep_begin(w, address, bytes, PAGE, value);
	return worker_touch_end(w);
}

static void spin_begin(struct worker *w, enum operation operation, uint64_t address)
{
	struct mailbox *box = box_of(w);

	atomic_store(&box->stop, 0);
	atomic_store(&box->turns, 0);
	touch_begin(w, operation, address, 0, 0);
}

static void spin(struct worker *w, enum operation operation, uint64_t address)
{
	spin_begin(w, operation, address);
	require(spin_turn(w), "%s met signal %d at once", w->name, box_of(w)->touch.signal);
}

void spin_load(struct worker *w, uint64_t address)
{
	spin(w, OP_SPIN_LOAD, address);
}

void spin_store(struct worker *w, uint64_t address)
{
	spin(w, OP_SPIN_STORE, address);
}

void spin_store_begin(struct worker *w, uint64_t address)
{
	spin_begin(w, OP_SPIN_STORE, address);
}

uint64_t spin_count(struct worker *w)
{
	return atomic_load_explicit(&box_of(w)->turns, memory_order_acquire);
}

uint64_t spin_value(struct worker *w)
{
	return atomic_load_explicit(&box_of(w)->latest, memory_order_acquire);
}

bool spin_turn(struct worker *w)
{
	uint64_t before = spin_count(w);

	/* One turn may have been under way: the second is wholly after us. */
	while (spin_count(w) < before + 2) {
		if (atomic_load(&box_of(w)->state) == DONE)
			return false;
		check_alive(w);
		sched_yield();
	}
	return true;
}

struct touch spin_stop(struct worker *w)
{
	atomic_store(&box_of(w)->stop, 1);
	return worker_touch_end(w);
}

void worker_set_pkru(struct worker *w, uint32_t value)
{
	box_of(w)->argument[0] = value;
	post(w, OP_PKRU);
	finish(w);
}

int worker_collect(struct worker *w)
{
	int status;

	require(waitpid(w->pid, &status, 0) == w->pid, "%s cannot be waited for", w->name);
	for (int i = 0; i < worker_count; i++)
		if (workers[i].pid == w->pid)
			workers[i].gone = true;
	return status;
}

void worker_exec(struct worker *w)
{
	int status;

	post(w, OP_EXEC);
	status = worker_collect(w);
	require(WIFEXITED(status) && WEXITSTATUS(status) == EXEC_STATUS,
		"%s: exec ended with status 0x%x", w->name, status);
}

void worker_exit(struct worker *w)
{
	int status;

	post(w, OP_EXIT);
	status = worker_collect(w);
	expect(status == 0, "%s ended with status 0x%x", w->name, status);
}

void worker_kill(struct worker *w)
{
	int status;

	kill(w->pid, SIGKILL);
	status = worker_collect(w);
	expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL,
	       "%s ended with status 0x%x instead of SIGKILL", w->name, status);
}
