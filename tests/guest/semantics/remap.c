/* SPDX-License-Identifier: GPL-2.0 */
/* mremap(2) by one of the processes that share. */
#include "cases.h"
#include "scene.h"

static struct file *f;
static struct worker *a, *b;

static void two_mappers(void)
{
	f = file_standard(2);
	a = worker_start("A");
	b = worker_start("B");
	map(a, f, 0, 2 * GIB);
	map(b, f, 0, 2 * GIB);
	tables_mark();
	expect_contents(a, f, HOME, 0, 2 * GIB);
	expect_contents(b, f, HOME, 0, 2 * GIB);
	expect_tables(2, 4);
}

/* A store by either is seen by the other, unless they are private. */
static void stores_meet(uint64_t at_a, uint64_t at_b)
{
	struct touch a_had = worker_load(a, at_a), b_had = worker_load(b, at_b);

	expect_store(a, at_a, 0xA1);
	expect_value(b, at_b, shape.private ? b_had.value : 0xA1);
	expect_store(b, at_b, 0xB1);
	expect_value(a, at_a, shape.private ? 0xA1 : 0xB1);
	expect(!a_had.signal && !b_had.signal, "a page is not there");
}

static void move(uint64_t from, uint64_t length, uint64_t to)
{
	two_mappers();
	expect_call(a, to, SYS_mremap, HOME + from, length, length, MREMAP_MAYMOVE | MREMAP_FIXED,
		    to);
	expect_load_signal(a, HOME + from, SIGSEGV);
	expect_load_signal(a, HOME + from + length - PAGE, SIGSEGV);
	expect_contents(a, f, to, from, length);
	expect_contents(a, f, HOME, 0, from);
	expect_contents(a, f, HOME + from + length, from + length, 2 * GIB - from - length);
	expect_contents_at_hand(b, f, HOME, 0, 2 * GIB);
	stores_meet(to, HOME + from);
	expect_contents(b, f, HOME, 0, from);
}

static void whole(void)
{
	move(0, 2 * GIB, ELSEWHERE);
	/* It is congruent, so it shares again. */
	expect_contents(b, f, HOME + UNIT, UNIT, 2 * GIB - UNIT);
}

static void whole_incongruent(void)
{
	move(0, 2 * GIB, ELSEWHERE + 4 * UNIT);
}

static void whole_by_a_page(void)
{
	move(0, 2 * GIB, ELSEWHERE + PAGE);
}

static void one_table(void)
{
	move(GIB, GIB, ELSEWHERE);
}

static void units(void)
{
	move(UNIT, 4 * UNIT, ELSEWHERE + UNIT);
}

static void page(void)
{
	move(UNIT + PAGE, PAGE, ELSEWHERE);
}

static void across_tables(void)
{
	move(GIB - UNIT, 2 * UNIT, ELSEWHERE);
}

static void onto_a_sharer(void)
{
	two_mappers();
	map_at(a, f->fd, ELSEWHERE, 2 * GIB, 0, PROT_READ | PROT_WRITE, shape_flag());
	expect_contents(a, f, ELSEWHERE, 0, 2 * GIB);
	/* The second GiB of one mapping lands on the first of the other. */
	expect_call(a, ELSEWHERE, SYS_mremap, HOME + GIB, GIB, GIB, MREMAP_MAYMOVE | MREMAP_FIXED,
		    ELSEWHERE);
	expect_load_signal(a, HOME + GIB, SIGSEGV);
	expect_contents(a, f, ELSEWHERE, GIB, GIB);
	expect_contents(a, f, ELSEWHERE + GIB, GIB, GIB);
	expect_contents(a, f, HOME, 0, GIB);
	expect_contents(b, f, HOME, 0, 2 * GIB);
	stores_meet(ELSEWHERE, HOME + GIB);
}

static void shrink(void)
{
	two_mappers();
	expect_call(a, HOME, SYS_mremap, HOME, 2 * GIB, GIB / 2, 0);
	expect_detached(2);
	expect_load_signal(a, HOME + GIB / 2, SIGSEGV);
	expect_load_signal(a, HOME + GIB, SIGSEGV);
	expect_contents(a, f, HOME, 0, GIB / 2);
	expect_contents(b, f, HOME, 0, 2 * GIB);
	stores_meet(HOME, HOME);
}

static void shrink_to_one_table(void)
{
	two_mappers();
	expect_call(a, HOME, SYS_mremap, HOME, 2 * GIB, GIB, 0);
	expect_detached(1);
	expect_load_signal(a, HOME + GIB, SIGSEGV);
	expect_contents(a, f, HOME, 0, GIB);
	expect_contents(b, f, HOME, 0, 2 * GIB);
	stores_meet(HOME, HOME);
}

/* From half a GiB, touched, to two: the first half keeps tables of its own. */
static void grow(void)
{
	f = file_standard(2);
	a = worker_start("A");
	b = worker_start("B");
	map(a, f, 0, GIB / 2);
	map(b, f, 0, 2 * GIB);
	tables_mark();
	expect_contents(a, f, HOME, 0, GIB / 2);
	expect_contents(b, f, HOME, 0, 2 * GIB);
	expect_tables(2, 2);
	expect_call(a, HOME, SYS_mremap, HOME, GIB / 2, 2 * GIB, 0);
	expect_contents(a, f, HOME, 0, 2 * GIB);
	expect_tables(0, 1);
	stores_meet(HOME, HOME);
	stores_meet(HOME + GIB, HOME + GIB);
}

static void grow_in_place(void)
{
	f = file_standard(2);
	a = worker_start("A");
	b = worker_start("B");
	map(a, f, 0, GIB);
	map(b, f, 0, GIB);
	tables_mark();
	expect_contents(a, f, HOME, 0, GIB);
	expect_contents(b, f, HOME, 0, GIB);
	expect_tables(1, 2);
	expect_call(a, HOME, SYS_mremap, HOME, GIB, 2 * GIB, 0);
	expect_contents(a, f, HOME, 0, 2 * GIB);
	expect_tables(1, 1);
	expect_contents(b, f, HOME, 0, GIB);
	expect_load_signal(b, HOME + GIB, SIGSEGV);
	stores_meet(HOME, HOME);
}

static void grow_and_move(void)
{
	f = file_standard(2);
	a = worker_start("A");
	b = worker_start("B");
	map(a, f, 0, GIB);
	map(b, f, 0, GIB);
	expect_contents(a, f, HOME, 0, GIB);
	expect_contents(b, f, HOME, 0, GIB);
	expect_call(a, ELSEWHERE, SYS_mremap, HOME, GIB, 2 * GIB, MREMAP_MAYMOVE | MREMAP_FIXED,
		    ELSEWHERE);
	expect_contents(a, f, ELSEWHERE, 0, 2 * GIB);
	expect_load_signal(a, HOME, SIGSEGV);
	expect_contents(b, f, HOME, 0, GIB);
	stores_meet(ELSEWHERE, HOME);
}

static void dont_unmap(void)
{
	two_mappers();
	expect_call(a, ELSEWHERE, SYS_mremap, HOME, 2 * GIB, 2 * GIB,
		    MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, ELSEWHERE);
	expect_contents(a, f, ELSEWHERE, 0, 2 * GIB);
	/* The old place is still mapped, empty, and refills from the file. */
	expect_contents(a, f, HOME, 0, 2 * GIB);
	expect_contents(b, f, HOME, 0, 2 * GIB);
	stores_meet(ELSEWHERE, HOME);
	expect_value(a, HOME, shape.private ? stamp(f, 0) : 0xB1);
}

static void dont_unmap_part(void)
{
	two_mappers();
	expect_call(a, ELSEWHERE, SYS_mremap, HOME + UNIT, UNIT, UNIT,
		    MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, ELSEWHERE);
	expect_contents(a, f, ELSEWHERE, UNIT, UNIT);
	expect_contents(a, f, HOME, 0, 2 * GIB);
	expect_contents(b, f, HOME, 0, 2 * GIB);
	stores_meet(ELSEWHERE, HOME + UNIT);
}

/* An old size of 0 asks for a second mapping of the same pages. */
static void duplicate(void)
{
	two_mappers();
	if (shape.private) {
		expect_call(a, -EINVAL, SYS_mremap, HOME, 0, 2 * GIB, MREMAP_MAYMOVE | MREMAP_FIXED,
			    ELSEWHERE);
		return;
	}
	expect_call(a, ELSEWHERE, SYS_mremap, HOME, 0, 2 * GIB, MREMAP_MAYMOVE | MREMAP_FIXED,
		    ELSEWHERE);
	tables_mark();
	expect_contents(a, f, ELSEWHERE, 0, 2 * GIB);
	expect_tables(0, 2);
	expect_contents(a, f, HOME, 0, 2 * GIB);
	expect_contents(b, f, HOME, 0, 2 * GIB);
	stores_meet(ELSEWHERE, HOME);
	expect_value(a, HOME, 0xB1);
}

static void refused(void)
{
	two_mappers();
	map_at(a, f->fd, HOME + 2 * GIB, UNIT, 0, PROT_READ, shape_flag());
	expect_call(a, -ENOMEM, SYS_mremap, HOME, 2 * GIB, 3 * GIB, 0);
	expect_call(a, -EINVAL, SYS_mremap, HOME, 2 * GIB, GIB, MREMAP_MAYMOVE | MREMAP_FIXED,
		    HOME + GIB);
	expect_call(a, -EFAULT, SYS_mremap, ELSEWHERE, GIB, GIB, MREMAP_MAYMOVE);
	expect_contents(a, f, HOME, 0, 2 * GIB);
	expect_contents(b, f, HOME, 0, 2 * GIB);
	stores_meet(HOME, HOME);
}

/* There and back again, all of it, with stores at either place. */
static void there_and_back(void)
{
	two_mappers();
	for (int i = 0; i < 3; i++) {
		expect_call(a, ELSEWHERE, SYS_mremap, HOME, 2 * GIB, 2 * GIB,
			    MREMAP_MAYMOVE | MREMAP_FIXED, ELSEWHERE);
		stores_meet(ELSEWHERE, HOME);
		expect_call(a, HOME, SYS_mremap, ELSEWHERE, 2 * GIB, 2 * GIB,
			    MREMAP_MAYMOVE | MREMAP_FIXED, HOME);
		stores_meet(HOME + GIB, HOME + GIB);
	}
	expect_contents(a, f, HOME + UNIT, UNIT, GIB - UNIT);
	expect_contents(b, f, HOME + UNIT, UNIT, GIB - UNIT);
}

const struct semantic_case remap_cases[] = {
	{ "remap/whole", EVERY_SHAPE, whole, "move all of it to an address that may share" },
	{ "remap/whole-incongruent", EVERY_SHAPE, whole_incongruent,
	  "move all of it to an address that may not share" },
	{ "remap/whole-by-a-page", SHARED_ALL, whole_by_a_page,
	  "move all of it to an address no 2 MiB entry fits" },
	{ "remap/one-table", EVERY_SHAPE, one_table, "move one GiB of two" },
	{ "remap/units", EVERY_SHAPE, units, "move some units" },
	{ "remap/page", EVERY_SHAPE, page, "move one page" },
	{ "remap/across-tables", EVERY_SHAPE, across_tables, "move the boundary of two tables" },
	{ "remap/onto-a-sharer", EVERY_SHAPE, onto_a_sharer, "move onto a mapping that shares" },
	{ "remap/shrink", EVERY_SHAPE, shrink, "shrink into a table" },
	{ "remap/shrink-to-one-table", EVERY_SHAPE, shrink_to_one_table, "shrink by one table" },
	{ "remap/grow", EVERY_SHAPE, grow, "grow from half a GiB, touched, to two" },
	{ "remap/grow-in-place", EVERY_SHAPE, grow_in_place, "grow by one table" },
	{ "remap/grow-and-move", EVERY_SHAPE, grow_and_move, "grow and move" },
	{ "remap/dontunmap", EVERY_SHAPE, dont_unmap, "MREMAP_DONTUNMAP of all" },
	{ "remap/dontunmap-part", EVERY_SHAPE, dont_unmap_part, "MREMAP_DONTUNMAP of a unit" },
	{ "remap/duplicate", EVERY_SHAPE, duplicate, "an old size of 0 duplicates a mapping" },
	{ "remap/refused", EVERY_SHAPE, refused, "what mremap refuses changes nothing" },
	{ "remap/there-and-back", EVERY_SHAPE, there_and_back, "three moves and back" },
	{ 0 },
};
