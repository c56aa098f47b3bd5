/* SPDX-License-Identifier: GPL-2.0 */
/* One process gives up a range, or maps something else over it; others must not notice. */
#include "cases.h"
#include "scene.h"

static struct file *f;
static struct worker *a, *b, *c;

/* A, B and C map 2 GiB and have touched all that is written. */
static void three_mappers(void)
{
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

/* A has lost [start, start + length) and everything else is as it was. */
static void only_this_is_gone(uint64_t start, uint64_t length)
{
	uint64_t end = start + length;

	expect_contents_at_hand(b, f, HOME, 0, 2 * GIB);
	expect_contents_at_hand(c, f, HOME, 0, 2 * GIB);
	expect_contents(a, f, HOME, 0, start);
	expect_contents(a, f, HOME + end, end, 2 * GIB - end);
	/* Stores still meet, on either side of the range and inside it. */
	for (int i = 0; i < f->filled_count; i++) {
		uint64_t at = f->filled[i] * UNIT, word = 0xB00 + i;

		expect_store(b, HOME + at, word);
		if (shape.private)
			word = stamp(f, at);
		expect_value(c, HOME + at, word);
		if (at < start || at >= end)
			expect_value(a, HOME + at, word);
	}
}

static void unmap(uint64_t start, uint64_t length, long detached)
{
	three_mappers();
	expect_call(a, 0, SYS_munmap, HOME + start, length);
	expect_detached(detached);
	expect_load_signal(a, HOME + start, SIGSEGV);
	expect_store_signal(a, HOME + start + length - PAGE, SIGSEGV);
	only_this_is_gone(start, length);
	expect_load_signal(a, HOME + start, SIGSEGV);
}

static void whole(void)
{
	unmap(0, 2 * GIB, 2);
}

static void one_table(void)
{
	unmap(GIB, GIB, 1);
}

static void front(void)
{
	unmap(0, 4 * UNIT, 1);
}

static void back(void)
{
	unmap(GIB + GIB / 2, GIB / 2, 1);
}

static void middle_unit(void)
{
	unmap(UNIT, UNIT, 1);
}

static void middle_page(void)
{
	unmap(UNIT + PAGE, PAGE, 1);
}

static void across_tables(void)
{
	unmap(GIB - UNIT, 2 * UNIT, 2);
}

static void several_ranges(void)
{
	three_mappers();
	expect_call(a, 0, SYS_munmap, HOME + UNIT, UNIT);
	expect_call(a, 0, SYS_munmap, HOME + GIB + UNIT, PAGE);
	/* What B has detached it may attach again only when one vma covers the GiB. */
	expect_call(b, 0, SYS_munmap, HOME + 4 * UNIT, PAGE);
	expect_load_signal(a, HOME + UNIT, SIGSEGV);
	expect_load_signal(a, HOME + GIB + UNIT, SIGSEGV);
	expect_load_signal(b, HOME + 4 * UNIT, SIGSEGV);
	expect_contents(a, f, HOME, 0, UNIT);
	expect_contents(a, f, HOME + GIB - UNIT, GIB - UNIT, 2 * UNIT);
	expect_contents(b, f, HOME, 0, 2 * GIB);
	expect_contents(c, f, HOME, 0, 2 * GIB);
}

static void nothing_there(void)
{
	three_mappers();
	expect_call(a, 0, SYS_munmap, HOME + 2 * GIB, GIB);
	expect_call(a, -EINVAL, SYS_munmap, HOME + 1, GIB);
	expect_detached(0);
	only_this_is_gone(2 * GIB, 0);
}

static void fixed_anonymous_over(uint64_t start, uint64_t length)
{
	three_mappers();
	expect_call(a, HOME + start, SYS_mmap, HOME + start, length, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	expect_value(a, HOME + start, 0);
	expect_store(a, HOME + start, 0xA);
	only_this_is_gone(start, length);
	expect_value(a, HOME + start, 0xA);
}

static void fixed_page(void)
{
	fixed_anonymous_over(UNIT + PAGE, PAGE);
}

static void fixed_unit(void)
{
	fixed_anonymous_over(GIB + UNIT, UNIT);
}

static void fixed_across(void)
{
	fixed_anonymous_over(GIB - UNIT, 2 * UNIT);
}

/* Another offset of the same file over one unit. */
static void fixed_other_offset(void)
{
	three_mappers();
	expect_call(a, HOME + UNIT, SYS_mmap, HOME + UNIT, UNIT, PROT_READ | PROT_WRITE,
		    shape_flag() | MAP_FIXED, f->fd, GIB);
	expect_contents(a, f, HOME + UNIT, GIB, UNIT);
	only_this_is_gone(UNIT, UNIT);
}

/* Another file over the whole of one table, which may be shared in turn. */
static void fixed_other_file(void)
{
	struct file *g = file_standard(1);

	three_mappers();
	map_at(a, g->fd, HOME, GIB, 0, PROT_READ | PROT_WRITE, shape_flag() | MAP_FIXED);
	map_at(b, g->fd, HOME, GIB, 0, PROT_READ | PROT_WRITE, shape_flag() | MAP_FIXED);
	tables_mark();
	expect_contents(a, g, HOME, 0, GIB);
	expect_contents(b, g, HOME, 0, GIB);
	expect_tables(1, 2);
	expect_contents(c, f, HOME, 0, 2 * GIB);
	expect_store(c, HOME, 0xC);
	expect_contents(a, g, HOME, 0, GIB);
	expect_contents(a, f, HOME + GIB, GIB, GIB);
	expect_contents(b, f, HOME + GIB, GIB, GIB);
}

/* The same again over itself: new vma, same contents, shared again. */
static void fixed_same(void)
{
	three_mappers();
	map_at(a, f->fd, HOME, 2 * GIB, 0, PROT_READ | PROT_WRITE, shape_flag() | MAP_FIXED);
	tables_mark();
	expect_contents(a, f, HOME, 0, 2 * GIB);
	expect_tables(0, 2);
	only_this_is_gone(2 * GIB, 0);
}

/* A hole cut into a vma and filled with the same mapping: the kernel merges all three. */
static void cut_and_refill(void)
{
	three_mappers();
	expect_call(a, 0, SYS_munmap, HOME + 4 * UNIT, UNIT);
	expect_contents(a, f, HOME, 0, 4 * UNIT);
	map_at(a, f->fd, HOME + 4 * UNIT, UNIT, 4 * UNIT, PROT_READ | PROT_WRITE,
	       shape_flag() | MAP_FIXED_NOREPLACE);
	expect_zeros(a, HOME + 4 * UNIT, UNIT);
	only_this_is_gone(2 * GIB, 0);
	expect_store(a, HOME + 4 * UNIT, 0xA);
	expect_value(b, HOME + 4 * UNIT, shape.private ? 0 : 0xA);
}

/* Two halves mapped one after the other merge into a vma that may share. */
static void halves_merge(void)
{
	struct worker *d, *e;

	f = file_standard(1);
	d = worker_start("D");
	e = worker_start("E");
	map(e, f, 0, GIB);
	tables_mark();
	expect_contents(e, f, HOME, 0, GIB);
	map(d, f, 0, GIB / 2);
	map(d, f, GIB / 2, GIB / 2);
	expect_tables(1, 1);
	expect_contents(d, f, HOME, 0, GIB);
	expect_tables(0, 1);
	expect_store(d, HOME + UNIT, 0xD);
	expect_value(e, HOME + UNIT, shape.private ? stamp(f, UNIT) : 0xD);
	expect_contents(e, f, HOME, 0, UNIT);
}

/* ... but what was touched before the merge already has tables of its own. */
static void halves_merge_late(void)
{
	struct worker *d, *e;

	f = file_standard(1);
	d = worker_start("D");
	e = worker_start("E");
	map(e, f, 0, GIB);
	tables_mark();
	expect_contents(e, f, HOME, 0, GIB);
	map(d, f, 0, GIB / 2);
	expect_contents(d, f, HOME, 0, GIB / 2);
	map(d, f, GIB / 2, GIB / 2);
	expect_contents(d, f, HOME, 0, GIB);
	expect_tables(1, 1);
	expect_store(e, HOME + UNIT, 0xE);
	expect_value(d, HOME + UNIT, shape.private ? stamp(f, UNIT) : 0xE);
	expect_call(d, 0, SYS_munmap, HOME, GIB);
	expect_contents(e, f, HOME, 0, UNIT);
}

/* The descriptor is long closed and the name removed: the mapping lives on. */
static void file_removed(void)
{
	three_mappers();
	expect_call(b, 0, SYS_unlink, ADDRESS_OF(f->path));
	for (int i = 0; i < 3; i++)
		call(i == 0 ? a : i == 1 ? b : c, SYS_close, f->fd);
	expect_call(a, 0, SYS_munmap, HOME, GIB);
	expect_load_signal(a, HOME, SIGSEGV);
	expect_contents(a, f, HOME + GIB, GIB, GIB);
	expect_contents(b, f, HOME, 0, 2 * GIB);
	expect_contents(c, f, HOME, 0, 2 * GIB);
}

const struct semantic_case unmap_cases[] = {
	{ "unmap/whole", EVERY_SHAPE, whole, "munmap of the whole vma" },
	{ "unmap/one-table", EVERY_SHAPE, one_table, "munmap of one GiB of two" },
	{ "unmap/front", EVERY_SHAPE, front, "munmap of the first units" },
	{ "unmap/back", EVERY_SHAPE, back, "munmap of the last half GiB" },
	{ "unmap/middle-unit", EVERY_SHAPE, middle_unit, "munmap of 2 MiB in the middle" },
	{ "unmap/middle-page", EVERY_SHAPE, middle_page, "munmap of 4 KiB in the middle" },
	{ "unmap/across-tables", EVERY_SHAPE, across_tables, "munmap over the boundary of two" },
	{ "unmap/several-ranges", EVERY_SHAPE, several_ranges,
	  "two processes cut different holes" },
	{ "unmap/nothing-there", EVERY_SHAPE, nothing_there,
	  "munmap next to the vma, and refused" },
	{ "unmap/fixed-page", EVERY_SHAPE, fixed_page, "MAP_FIXED anonymous over a page" },
	{ "unmap/fixed-unit", EVERY_SHAPE, fixed_unit, "MAP_FIXED anonymous over a unit" },
	{ "unmap/fixed-across", EVERY_SHAPE, fixed_across, "MAP_FIXED over a table boundary" },
	{ "unmap/fixed-other-offset", EVERY_SHAPE, fixed_other_offset,
	  "MAP_FIXED of another part of the file" },
	{ "unmap/fixed-other-file", EVERY_SHAPE, fixed_other_file,
	  "MAP_FIXED of another file, shared in turn" },
	{ "unmap/fixed-same", EVERY_SHAPE, fixed_same, "MAP_FIXED of the same over itself" },
	{ "unmap/cut-and-refill", EVERY_SHAPE, cut_and_refill,
	  "a hole is cut and filled again, vmas merge" },
	{ "unmap/halves-merge", SHARED_2M | PRIVATE_2M, halves_merge,
	  "two halves become one vma, which shares" },
	{ "unmap/halves-merge-late", SHARED_2M | SHARED_4K | PRIVATE_2M, halves_merge_late,
	  "a half is touched before the merge: its tables stay its own" },
	{ "unmap/file-removed", EVERY_SHAPE, file_removed, "an unlinked file stays mapped" },
	{ 0 },
};
