/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A page of the device fails: memory_failure(), asked for by MADV_HWPOISON.
 *
 * A process that touches it gets SIGBUS, and the page is taken out of every
 * mapping; processes with early kill get SIGBUS as well.  The failure is
 * simulated: the page keeps its data, for the next process that touches it.
 *
 * Unlike truncation, this is one walk over the mappings and nothing before it.
 */
#include "cases.h"
#include "scene.h"

#include <linux/falloc.h>
#include <linux/mman.h>
#include <string.h>

#define EARLY_KILL "/proc/sys/vm/memory_failure_early_kill"

static struct file *f;
static struct worker *a, *b, *c;

static void mappers(void)
{
	if (write_text(EARLY_KILL, "0"))
		skip_case("no memory failure handling in this kernel");
	f = file_standard(2);
	a = worker_start("A");
	b = worker_start("B");
	c = worker_start("C");
	map(a, f, 0, 2 * GIB);
	map(b, f, 0, 2 * GIB);
	map(c, f, 0, 2 * GIB);
	tables_mark();
	expect_contents(a, f, HOME, 0, 2 * GIB);
	expect_contents(b, f, HOME, 0, 2 * GIB);
	expect_contents(c, f, HOME, 0, 2 * GIB);
	expect_tables(2, 6);
}

static void expect_told(struct worker *w, struct touch got, int code, uint64_t address)
{
	expect(got.signal == SIGBUS && got.code == code && got.address == address,
	       "%s gets signal %d, code %d, for %#llx", w->name, got.signal, got.code,
	       (unsigned long long)got.address);
}

/* The caller finds out by the signal that is due to who consumes a page that has failed. */
static void fails(struct worker *w, uint64_t address)
{
	expect_told(w, call_guarded(w, SYS_madvise, address, PAGE, MADV_HWPOISON), BUS_MCEERR_AR,
		    address);
}

/* The entry is gone: a load has to fault for it. */
static void expect_refault(struct worker *w, uint64_t address, uint64_t value)
{
	long before = faults_of(w->pid);

	expect_value(w, address, value);
	expect(faults_of(w->pid) > before, "%s still has the page that failed", w->name);
}

static void one_page(void)
{
	const uint64_t at = UNIT + PAGE;

	mappers();
	fails(a, HOME + at);
	expect_refault(b, HOME + at, stamp(f, at));
	expect_value(c, HOME + at, stamp(f, at));
	expect_value(a, HOME + at, stamp(f, at));
	expect_contents(a, f, HOME, 0, 2 * GIB);
	expect_contents_at_hand(b, f, HOME + GIB, GIB, GIB);
	expect_contents(c, f, HOME, 0, 2 * GIB);
	/* Once more, the other way round, and for a page that has failed before. */
	fails(b, HOME + at);
	expect_refault(a, HOME + at, stamp(f, at));
	fails(c, HOME + GIB);
	expect_refault(b, HOME + GIB, stamp(f, GIB));
	expect_store(b, HOME + at, 0xB);
	expect_value(a, HOME + at, shape.private ? stamp(f, at) : 0xB);
	expect_value(c, HOME + at, shape.private ? stamp(f, at) : 0xB);
}

/* The file can be written there, and cut, as before. */
static void then_file_changes(void)
{
	mappers();
	fails(a, HOME + UNIT);
	file_write_word(f, UNIT, 7);
	expect_value(b, HOME + UNIT, 7);
	expect_value(a, HOME + UNIT, 7);
	require(!fallocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, UNIT, UNIT),
		"punch: %s", strerror(errno));
	expect_zeros(a, HOME + UNIT, UNIT);
	expect_zeros(b, HOME + UNIT, UNIT);
	expect_zeros(c, HOME + UNIT, UNIT);
	expect_contents(b, f, HOME, 0, UNIT);
	worker_exit(a);
	expect_contents(c, f, HOME + GIB, GIB, GIB);
}

/*
 * All who have the page are notified, at their own addresses; who maps another part
 * of the file is not.
 */
static void early_kill(void)
{
	struct worker *d;

	mappers();
	d = worker_start("D");
	map(d, f, GIB, GIB);
	expect_contents(d, f, HOME + GIB, GIB, GIB);
	map_at(c, f->fd, ELSEWHERE, 2 * GIB, 0, PROT_READ | PROT_WRITE, shape_flag());
	expect_call(c, 0, SYS_munmap, HOME, 2 * GIB);
	expect_contents(c, f, ELSEWHERE, 0, 2 * GIB);
	require(!write_text(EARLY_KILL, "1"), "cannot write " EARLY_KILL);
	spin_load(b, HOME);
	spin_load(c, ELSEWHERE + GIB);
	spin_load(d, HOME + GIB);
	fails(a, HOME + UNIT);
	expect_told(b, worker_touch_end(b), BUS_MCEERR_AO, HOME + UNIT);
	expect_told(c, worker_touch_end(c), BUS_MCEERR_AO, ELSEWHERE + UNIT);
	expect(spin_turn(d), "D is notified of a page that it does not map");
	spin_stop(d);
	write_text(EARLY_KILL, "0");
	expect_contents(a, f, HOME, 0, 2 * GIB);
	expect_contents(b, f, HOME, 0, 2 * GIB);
	expect_contents(c, f, ELSEWHERE, 0, 2 * GIB);
}

/* What has been copied is another page, which has not failed. */
static void copies_stay(void)
{
	mappers();
	expect_store(a, HOME + UNIT, 0xA);
	fails(b, HOME + UNIT);
	expect_value(a, HOME + UNIT, 0xA);
	expect_refault(c, HOME + UNIT, stamp(f, UNIT));
	expect_value(b, HOME + UNIT, stamp(f, UNIT));
	expect_store(c, HOME + UNIT, 0xC);
	expect_value(b, HOME + UNIT, stamp(f, UNIT));
	expect_contents(a, f, HOME + GIB, GIB, GIB);
}

/* One who left, in part or as a whole, is neither notified nor hit. */
static void after_leaving(void)
{
	mappers();
	expect_call(a, 0, SYS_munmap, HOME + UNIT, UNIT);
	expect_call(b, 0, SYS_mprotect, HOME, 2 * GIB, PROT_READ);
	expect_contents(b, f, HOME, 0, 2 * GIB);
	fails(c, HOME + UNIT);
	expect_load_signal(a, HOME + UNIT, SIGSEGV);
	expect_refault(b, HOME + UNIT, stamp(f, UNIT));
	expect_store_signal(b, HOME + UNIT, SIGSEGV);
	expect_store(c, HOME + UNIT, 0xC);
	expect_value(b, HOME + UNIT, shape.private ? stamp(f, UNIT) : 0xC);
}

const struct semantic_case poison_cases[] = {
	{ "poison/one-page", EVERY_SHAPE, one_page, "a page fails, everybody has to fault again" },
	{ "poison/then-file-changes", EVERY_SHAPE, then_file_changes,
	  "a page that failed is written and punched" },
	{ "poison/early-kill", EVERY_SHAPE, early_kill, "all who have the page are notified" },
	{ "poison/copies-stay", PRIVATE_ALL, copies_stay, "copies are other pages" },
	{ "poison/after-leaving", EVERY_SHAPE, after_leaving,
	  "others have left the table, or some of its range" },
	{ 0 },
};
