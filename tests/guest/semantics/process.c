/* SPDX-License-Identifier: GPL-2.0 */
/* Processes begin and end in every order while others use the same tables. */
#include "cases.h"
#include "scene.h"
#include "../lib/util.h"

#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

static struct file *f;
static struct worker *a, *b, *c;

static void mappers(void)
{
	f = file_standard(2);
	a = worker_start("A");
	b = worker_start("B");
	c = worker_start("C");
	map(a, f, 0, 2 * GIB);
	map(b, f, 0, 2 * GIB);
	map(c, f, 0, 2 * GIB);
}

static void all_touch(void)
{
	tables_mark();
	expect_contents(a, f, HOME, 0, 2 * GIB);
	expect_contents(b, f, HOME, 0, 2 * GIB);
	expect_contents(c, f, HOME, 0, 2 * GIB);
	expect_tables(2, 6);
}

static void meet(struct worker *one, struct worker *other, uint64_t word)
{
	expect_store(one, HOME + UNIT, word);
	if (!shape.private)
		expect_value(other, HOME + UNIT, word);
}

static void fork_before_touch(void)
{
	struct worker *child;

	mappers();
	child = worker_fork(a, "child");
	all_touch();
	expect_contents(child, f, HOME, 0, 2 * GIB);
	expect_tables(0, 2);
	meet(child, a, 1);
	meet(a, child, 2);
}

static void fork_after_touch(void)
{
	struct worker *child;
	long before;

	mappers();
	all_touch();
	child = worker_fork(a, "child");
	/* Nothing is copied: the child faults for itself, and attaches. */
	expect_tables(0, 0);
	before = faults_of(child->pid);
	expect_value(child, HOME, stamp(f, 0));
	expect(faults_of(child->pid) > before, "the child had the entry already");
	expect_contents(child, f, HOME, 0, 2 * GIB);
	expect_tables(0, 2);
	meet(child, b, 1);
	meet(b, child, 2);
	worker_exit(a);
	expect_contents(child, f, HOME + GIB, GIB, GIB);
	expect_contents(c, f, HOME + GIB, GIB, GIB);
}

static void fork_child_unmaps(void)
{
	struct worker *child;

	mappers();
	all_touch();
	child = worker_fork(a, "child");
	expect_contents(child, f, HOME, 0, 2 * GIB);
	expect_call(child, 0, SYS_munmap, HOME + UNIT, GIB);
	expect_load_signal(child, HOME + UNIT, SIGSEGV);
	expect_contents(a, f, HOME, 0, 2 * GIB);
	expect_contents(b, f, HOME, 0, 2 * GIB);
	worker_exit(child);
	expect_contents(a, f, HOME, 0, 2 * GIB);
}

static void fork_chain(void)
{
	struct worker *last, *next;

	mappers();
	all_touch();
	last = a;
	for (int i = 0; i < 8; i++) {
		next = worker_fork(last, "descendant");
		expect_contents(next, f, HOME, 0, 2 * GIB);
		expect_tables(0, 2);
		worker_exit(last);
		last = next;
	}
	meet(last, b, 1);
	meet(b, last, 2);
	expect_contents(c, f, HOME + GIB, GIB, GIB);
}

static void dontfork(void)
{
	struct worker *child;

	mappers();
	all_touch();
	expect_call(a, 0, SYS_madvise, HOME, 2 * GIB, MADV_DONTFORK);
	expect_contents(a, f, HOME, 0, 2 * GIB);
	child = worker_fork(a, "child");
	expect_load_signal(child, HOME, SIGSEGV);
	expect_call(a, 0, SYS_madvise, HOME, 2 * GIB, MADV_DOFORK);
	child = worker_fork(a, "second child");
	expect_contents(child, f, HOME, 0, 2 * GIB);
	meet(child, b, 1);
}

static void exec(void)
{
	struct worker *child;

	mappers();
	all_touch();
	child = worker_fork(a, "child");
	expect_contents(child, f, HOME, 0, 2 * GIB);
	worker_exec(child);
	expect_contents(a, f, HOME, 0, 2 * GIB);
	worker_exec(a);
	expect_contents(b, f, HOME, 0, 2 * GIB);
	expect_contents(c, f, HOME, 0, 2 * GIB);
	meet(b, c, 1);
}

/* All six orders in which three may leave. */
static void exit_orders(void)
{
	static const uint8_t orders[6][3] = {
		{ 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 }, { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 },
	};

	f = file_standard(2);
	for (int i = 0; i < 6; i++) {
		struct worker *w[3] = { worker_start("A"), worker_start("B"), worker_start("C") };

		tables_mark();
		for (int k = 0; k < 3; k++)
			map(w[k], f, 0, 2 * GIB);
		for (int k = 0; k < 3; k++)
			expect_contents(w[k], f, HOME, 0, 2 * GIB);
		expect_tables(2, 6);
		worker_exit(w[orders[i][0]]);
		expect_contents_at_hand(w[orders[i][1]], f, HOME, 0, 2 * GIB);
		expect_contents_at_hand(w[orders[i][2]], f, HOME, 0, 2 * GIB);
		worker_exit(w[orders[i][1]]);
		expect_contents_at_hand(w[orders[i][2]], f, HOME, 0, 2 * GIB);
		worker_exit(w[orders[i][2]]);
	}
}

static void kill_idle(void)
{
	mappers();
	all_touch();
	worker_kill(a);
	expect_contents_at_hand(b, f, HOME, 0, 2 * GIB);
	meet(b, c, 1);
	worker_kill(c);
	expect_contents(b, f, HOME + GIB, GIB, GIB);
}

static void kill_spinning(void)
{
	mappers();
	all_touch();
	for (int i = 0; i < 3; i++) {
		struct worker *child = worker_fork(a, "spinner");

		spin_store(child, HOME + UNIT + PAGE);
		worker_kill(child);
		expect_contents(b, f, HOME + GIB, GIB, GIB);
		expect_value(b, HOME, stamp(f, 0));
	}
	meet(a, b, 1);
}

/* A dies in the middle of faults over the whole range. */
static void kill_faulting(void)
{
	mappers();
	all_touch();
	for (int i = 0; i < 5; i++) {
		struct worker *child = worker_fork(b, "toucher");

		call_begin(child, SYS_madvise, HOME + GIB + 4 * UNIT, 64 * UNIT,
			   MADV_POPULATE_READ);
		pause_ms(i);
		worker_kill(child);
		expect_contents(b, f, HOME, 0, 2 * GIB);
	}
	expect_contents(a, f, HOME, 0, 2 * GIB);
	expect_contents(c, f, HOME, 0, 2 * GIB);
	meet(a, c, 1);
}

static void thread_group_exit(void)
{
	struct worker *first, *second;

	mappers();
	all_touch();
	first = worker_thread(a, "thread 1 of A");
	second = worker_thread(a, "thread 2 of A");
	spin_store(first, HOME + UNIT);
	expect_contents(second, f, HOME + GIB, GIB, GIB);
	worker_exit(a);
	expect_contents(b, f, HOME + GIB, GIB, GIB);
	expect_contents(c, f, HOME + GIB, GIB, GIB);
	meet(b, c, 1);
}

static void set_oom_score(struct worker *w, const char *score)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", w->pid);
	require(!write_text(path, score), "cannot write %s", path);
}

/* The kernel's OOM killer, asked for by SysRq, takes A. */
static void oom_kill(void)
{
	int status;

	mappers();
	all_touch();
	if (shape.private)
		expect_store(a, HOME, 0xA);
	set_oom_score(a, "1000");
	write_text("/proc/sys/kernel/sysrq", "1");
	if (write_text("/proc/sysrq-trigger", "f"))
		skip_case("no SysRq");
	status = worker_collect(a);
	expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "status 0x%x", status);
	expect_contents(b, f, HOME, 0, 2 * GIB);
	expect_contents(c, f, HOME, 0, 2 * GIB);
	meet(b, c, 1);
}

/*
 * process_mrelease runs the OOM reaper's code on an mm whose owner is dying
 * but, held by a tracer on its way out, not yet gone.
 */
static void oom_reap(void)
{
	struct worker *child;
	int status, pidfd;
	long got;

	mappers();
	all_touch();
	child = worker_fork(a, "victim");
	expect_contents(child, f, HOME, 0, 2 * GIB);
	if (shape.private)
		expect_store(child, HOME, 0xC);
	pidfd = syscall(SYS_pidfd_open, child->pid, 0);
	require(pidfd >= 0, "pidfd_open: %s", strerror(errno));
	require(!ptrace(PTRACE_SEIZE, child->pid, 0, PTRACE_O_TRACEEXIT), "ptrace: %s",
		strerror(errno));
	kill(child->pid, SIGKILL);
	require(waitpid(child->pid, &status, __WALL) == child->pid, "waitpid");
	if (!WIFSTOPPED(status))
		skip_case("a killed process does not stop for its tracer here");
	got = syscall(SYS_process_mrelease, pidfd, 0);
	expect(!got, "process_mrelease: %s", strerror(errno));
	expect_contents_at_hand(b, f, HOME, 0, 2 * GIB);
	expect_contents_at_hand(c, f, HOME, 0, 2 * GIB);
	ptrace(PTRACE_CONT, child->pid, 0, 0);
	status = worker_collect(child);
	expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "status 0x%x", status);
	close(pidfd);
	expect_contents(a, f, HOME, 0, 2 * GIB);
	expect_contents(b, f, HOME, 0, 2 * GIB);
	meet(b, c, 1);
}

const struct semantic_case process_cases[] = {
	{ "process/fork-before-touch", EVERY_SHAPE, fork_before_touch, "fork, then first touch" },
	{ "process/fork-after-touch", EVERY_SHAPE, fork_after_touch,
	  "a child gets no entries, then attaches" },
	{ "process/fork-child-unmaps", EVERY_SHAPE, fork_child_unmaps, "a child unmaps a part" },
	{ "process/fork-chain", EVERY_SHAPE, fork_chain, "eight generations, each parent exits" },
	{ "process/dontfork", EVERY_SHAPE, dontfork, "MADV_DONTFORK and MADV_DOFORK" },
	{ "process/exec", EVERY_SHAPE, exec, "a child execs, then a parent" },
	{ "process/exit-orders", EVERY_SHAPE, exit_orders, "three leave in all six orders" },
	{ "process/kill-idle", EVERY_SHAPE, kill_idle, "SIGKILL for one that sleeps" },
	{ "process/kill-spinning", EVERY_SHAPE, kill_spinning, "SIGKILL for one that stores" },
	{ "process/kill-faulting", EVERY_SHAPE, kill_faulting, "SIGKILL for one that faults" },
	{ "process/thread-group-exit", EVERY_SHAPE, thread_group_exit,
	  "exit with threads at work" },
	{ "process/oom-kill", SHARED_2M | PRIVATE_2M, oom_kill, "the OOM killer" },
	{ "process/oom-reap", EVERY_SHAPE, oom_reap, "the OOM reaper's walk" },
	{ 0 },
};
