/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Allocations fail, one at a time: the first of an operation, then the second,
 * until it needs no more.  Whatever fails, nobody may see wrong data, and an
 * operation that reports failure has changed nothing that is seen.
 *
 * Needs CONFIG_FAULT_INJECTION, which the debug variant has.
 */
#include "cases.h"
#include "scene.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#define MOST 60 /* allocations an operation may make */

static struct file *f;
static struct worker *a, *b;

/* Failures hit who asks for them and nobody else, without a word on the console. */
static void prepare(void)
{
	static const char *const settings[][2] = {
		{ "failslab/ignore-gfp-wait", "N" },	    { "failslab/verbose", "0" },
		{ "fail_page_alloc/ignore-gfp-wait", "N" }, { "fail_page_alloc/verbose", "0" },
		{ "fail_page_alloc/min-order", "0" },
	};
	char path[128];

	if (access("/proc/self/fail-nth", F_OK))
		skip_case("no fault injection in this kernel (CONFIG_FAULT_INJECTION)");
	if (access("/sys/kernel/debug/failslab", F_OK))
		mount("debugfs", "/sys/kernel/debug", "debugfs", 0, NULL);
	for (size_t i = 0; i < sizeof(settings) / sizeof(*settings); i++) {
		snprintf(path, sizeof(path), "/sys/kernel/debug/%s", settings[i][0]);
		require(!write_text(path, settings[i][1]), "cannot write %s", path);
	}
	f = file_standard(1);
	b = worker_start("B");
	map(b, f, 0, GIB);
}

/* The @nth allocation of @w's main thread from now on fails; 0: none does. */
static void set_failure(struct worker *w, int nth)
{
	char path[64], text[16];

	snprintf(path, sizeof(path), "/proc/%d/fail-nth", w->pid);
	snprintf(text, sizeof(text), "%d", nth);
	require(!write_text(path, text), "cannot write %s", path);
}

/* Whether the failure that was asked for has happened. */
static bool has_failed(struct worker *w)
{
	char path[64];
	long left;

	snprintf(path, sizeof(path), "/proc/%d/fail-nth", w->pid);
	left = number_after(path, "");
	set_failure(w, 0);
	return !left;
}

static void each_failure(bool (*attempt)(int nth))
{
	int nth = 1;

	while (nth <= MOST && attempt(nth))
		nth++;
	expect(nth > 1, "nothing was allocated");
	expect(nth <= MOST, "%d allocations are not all", MOST);
	expect_contents(b, f, HOME, 0, GIB);
}

/* The first touch: tables, shared ones included, are made and entered. */
static bool touch_alone(int nth)
{
	bool failed;

	a = worker_start("A");
	map(a, f, 0, GIB);
	set_failure(a, nth);
	expect_value(a, HOME + UNIT, stamp(f, UNIT));
	failed = has_failed(a);
	expect_contents(a, f, HOME, 0, GIB);
	worker_exit(a);
	return failed;
}

static void first_touch(void)
{
	prepare();
	each_failure(touch_alone);
}

static void touch_beside(void)
{
	prepare();
	expect_contents(b, f, HOME, 0, GIB);
	each_failure(touch_alone);
}

static bool store_alone(int nth)
{
	bool failed;

	a = worker_start("A");
	map(a, f, 0, GIB);
	/* To write to a page that is mapped takes no memory, unless it is copied: there the way to it. */
	if (shape.private)
		expect_contents(a, f, HOME, 0, GIB);
	set_failure(a, nth);
	expect_store(a, HOME + PAGE, nth);
	failed = has_failed(a);
	expect_value(b, HOME + PAGE, shape.private ? stamp(f, PAGE) : (uint64_t)nth);
	expect_contents(a, f, HOME + UNIT, UNIT, GIB - UNIT);
	worker_exit(a);
	if (!shape.private)
		expect_store(b, HOME + PAGE, stamp(f, PAGE));
	return failed;
}

static void store(void)
{
	prepare();
	expect_contents(b, f, HOME, 0, GIB);
	each_failure(store_alone);
}

/* An operation on @length bytes at @offset that may say ENOMEM; returns whether it failed. */
static bool change_alone(int nth, long number, const uint64_t arguments[6], bool *done)
{
	bool failed;
	long got;

	a = worker_start("A");
	map(a, f, 0, GIB);
	expect_contents(a, f, HOME, 0, GIB);
	set_failure(a, nth);
	got = worker_call(a, number, arguments);
	failed = has_failed(a);
	*done = got >= 0;
	expect(*done || got == -ENOMEM, "the call returns %ld (%s)", got, strerror(-got));
	if (!*done)
		expect_contents(a, f, HOME, 0, GIB);
	expect_contents(b, f, HOME, 0, GIB);
	return failed;
}

static bool unmap_alone(int nth)
{
	bool done;
	bool failed = change_alone(nth, SYS_munmap, (const uint64_t[6]){ HOME + UNIT, UNIT },
				   &done);

	if (done)
		expect_load_signal(a, HOME + UNIT, SIGSEGV);
	expect_contents(a, f, HOME, 0, UNIT);
	worker_exit(a);
	return failed;
}

static void unmap(void)
{
	prepare();
	expect_contents(b, f, HOME, 0, GIB);
	each_failure(unmap_alone);
}

static bool protect_alone(int nth)
{
	bool done;
	bool failed = change_alone(nth, SYS_mprotect,
				   (const uint64_t[6]){ HOME + UNIT, UNIT, PROT_READ }, &done);

	if (done)
		expect_store_signal(a, HOME + UNIT, SIGSEGV);
	expect_contents(a, f, HOME, 0, GIB);
	worker_exit(a);
	return failed;
}

static void protect(void)
{
	prepare();
	expect_contents(b, f, HOME, 0, GIB);
	each_failure(protect_alone);
}

static bool remap_alone(int nth)
{
	bool done;
	bool failed = change_alone(nth, SYS_mremap,
				   (const uint64_t[6]){ HOME, GIB, GIB,
							MREMAP_MAYMOVE | MREMAP_FIXED, ELSEWHERE },
				   &done);

	expect_contents(a, f, done ? ELSEWHERE : HOME, 0, GIB);
	worker_exit(a);
	return failed;
}

static void remap(void)
{
	prepare();
	expect_contents(b, f, HOME, 0, GIB);
	each_failure(remap_alone);
}

const struct semantic_case failing_cases[] = {
	{ "failing/first-touch", EVERY_SHAPE, first_touch, "allocations of a first fault fail" },
	{ "failing/touch-beside", EVERY_SHAPE, touch_beside, "... where another has a table" },
	{ "failing/store", EVERY_SHAPE, store, "allocations of a store fail" },
	{ "failing/unmap", EVERY_SHAPE, unmap, "allocations of munmap fail" },
	{ "failing/protect", EVERY_SHAPE, protect, "allocations of mprotect fail" },
	{ "failing/remap", EVERY_SHAPE, remap, "allocations of mremap fail" },
	{ 0 },
};
