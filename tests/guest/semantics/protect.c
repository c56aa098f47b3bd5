/* SPDX-License-Identifier: GPL-2.0 */
/* Permissions changed by one process are that process's alone, both ways round. */
#include "cases.h"
#include "scene.h"

static struct file *f;
static struct worker *a, *b;

static void two_mappers(int protection)
{
	f = file_standard(2);
	a = worker_start("A");
	b = worker_start("B");
	for (int i = 0; i < 2; i++)
		map_at(i ? b : a, f->fd, HOME, 2 * GIB, 0, protection,
		       shape_flag() | MAP_FIXED_NOREPLACE);
	tables_mark();
	expect_contents(a, f, HOME, 0, 2 * GIB);
	expect_contents(b, f, HOME, 0, 2 * GIB);
	expect_tables(2, 4);
}

/* A may no longer store in the range (or not even load), B may everywhere. */
static void withdrawn(uint64_t start, uint64_t length, int protection)
{
	uint64_t end = start + length;

	for (int i = 0; i < f->filled_count; i++) {
		uint64_t at = f->filled[i] * UNIT;
		uint64_t seen = shape.private ? stamp(f, at) : 0xB00 + at;

		expect_store(b, HOME + at, 0xB00 + at);
		if (at >= start && at < end) {
			expect_store_signal(a, HOME + at, SIGSEGV);
			if (protection == PROT_NONE)
				expect_load_signal(a, HOME + at, SIGSEGV);
			else
				expect_value(a, HOME + at, seen);
		} else {
			expect_value(a, HOME + at, seen);
			expect_store(a, HOME + at, 0xA00 + at);
			expect_value(b, HOME + at, shape.private ? 0xB00 + at : 0xA00 + at);
		}
	}
}

static void withdraw(uint64_t start, uint64_t length, int protection, long detached)
{
	two_mappers(PROT_READ | PROT_WRITE);
	expect_store(a, HOME + start + PAGE, stamp(f, start + PAGE));
	expect_call(b, 0, SYS_msync, HOME, 2 * UNIT, MS_SYNC);
	tables_mark();
	expect_call(a, 0, SYS_mprotect, HOME + start, length, protection);
	if (!shape.private)
		expect_detached(detached);
	withdrawn(start, length, protection);
	/* Given back, the two are alike again. */
	expect_call(a, 0, SYS_mprotect, HOME + start, length, PROT_READ | PROT_WRITE);
	expect_store(a, HOME + start + PAGE, 0xA);
	expect_value(b, HOME + start + PAGE, shape.private ? stamp(f, start + PAGE) : 0xA);
}

static void whole_read_only(void)
{
	withdraw(0, 2 * GIB, PROT_READ, 2);
}

static void whole_none(void)
{
	withdraw(0, 2 * GIB, PROT_NONE, 2);
}

static void table_read_only(void)
{
	withdraw(GIB, GIB, PROT_READ, 1);
}

static void unit_read_only(void)
{
	withdraw(UNIT, UNIT, PROT_READ, 1);
}

static void unit_none(void)
{
	withdraw(GIB + UNIT, UNIT, PROT_NONE, 1);
}

static void across_tables(void)
{
	withdraw(GIB - UNIT, 2 * UNIT, PROT_READ, 2);
}

static void page_read_only(void)
{
	two_mappers(PROT_READ | PROT_WRITE);
	expect_store(a, HOME + UNIT + PAGE, 1);
	expect_call(a, 0, SYS_mprotect, HOME + UNIT + PAGE, PAGE, PROT_READ);
	expect_store_signal(a, HOME + UNIT + PAGE, SIGSEGV);
	expect_store(a, HOME + UNIT, 2);
	expect_store(a, HOME + UNIT + 2 * PAGE, 3);
	expect_store(b, HOME + UNIT + PAGE, 4);
	expect_value(a, HOME + UNIT + PAGE, shape.private ? 1 : 4);
	expect_value(b, HOME + UNIT, shape.private ? stamp(f, UNIT) : 2);
	expect_contents(a, f, HOME + 2 * UNIT, 2 * UNIT, 2 * GIB - 2 * UNIT);
	expect_contents(b, f, HOME + 2 * UNIT, 2 * UNIT, 2 * GIB - 2 * UNIT);
}

/* From a read-only mapping: A gains, B must not. */
static void grant(uint64_t start, uint64_t length)
{
	uint64_t end = start + length;

	two_mappers(PROT_READ);
	expect_call(a, 0, SYS_mprotect, HOME + start, length, PROT_READ | PROT_WRITE);
	for (int i = 0; i < f->filled_count; i++) {
		uint64_t at = f->filled[i] * UNIT;

		if (at >= start && at < end) {
			expect_store(a, HOME + at, 0xA00 + at);
			expect_value(b, HOME + at, shape.private ? stamp(f, at) : 0xA00 + at);
		} else {
			expect_store_signal(a, HOME + at, SIGSEGV);
		}
		expect_store_signal(b, HOME + at, SIGSEGV);
	}
	expect_contents(b, f, HOME, 0, start);
	expect_contents(b, f, HOME + end, end, 2 * GIB - end);
}

static void grant_whole(void)
{
	grant(0, 2 * GIB);
}

static void grant_table(void)
{
	grant(0, GIB);
}

static void grant_unit(void)
{
	grant(GIB + UNIT, UNIT);
}

/* Both change alike: they are alike again, and share again. */
static void both_change(void)
{
	two_mappers(PROT_READ | PROT_WRITE);
	expect_call(a, 0, SYS_mprotect, HOME, 2 * GIB, PROT_READ);
	expect_call(b, 0, SYS_mprotect, HOME, 2 * GIB, PROT_READ);
	tables_mark();
	expect_contents(a, f, HOME, 0, 2 * GIB);
	expect_contents(b, f, HOME, 0, 2 * GIB);
	expect_tables(2, 4);
	expect_store_signal(a, HOME, SIGSEGV);
	expect_store_signal(b, HOME, SIGSEGV);
}

/* A unit of B is split off and merged back; then B may share again. */
static void split_and_merge(void)
{
	two_mappers(PROT_READ | PROT_WRITE);
	for (int i = 0; i < 3; i++) {
		expect_call(b, 0, SYS_mprotect, HOME + UNIT, UNIT, PROT_READ);
		expect_call(b, 0, SYS_mprotect, HOME + UNIT, UNIT, PROT_READ | PROT_WRITE);
		tables_mark();
		expect_contents(b, f, HOME, 0, 2 * GIB);
		expect_tables(0, 1);
	}
	expect_store(b, HOME + UNIT, 0xB);
	expect_value(a, HOME + UNIT, shape.private ? stamp(f, UNIT) : 0xB);
}

static void unchanged(void)
{
	two_mappers(PROT_READ | PROT_WRITE);
	expect_call(a, 0, SYS_mprotect, HOME, 2 * GIB, PROT_READ | PROT_WRITE);
	expect_call(a, 0, SYS_mprotect, HOME + UNIT, UNIT, PROT_READ | PROT_WRITE);
	expect_detached(0);
	expect_contents(a, f, HOME, 0, 2 * GIB);
	expect_contents(b, f, HOME, 0, 2 * GIB);
}

/*
 * Two vmas meet at a table boundary.  A unit beyond it is made like the one
 * before it: the kernel merges, and the boundary moves into the table.
 */
static void boundary_moves(uint64_t start, int protection)
{
	two_mappers(PROT_READ | PROT_WRITE);
	expect_call(a, 0, SYS_mprotect, HOME + GIB, GIB, PROT_READ);
	expect_contents(a, f, HOME, 0, 2 * GIB);
	expect_call(a, 0, SYS_mprotect, HOME + start, UNIT, protection);
	expect_contents(a, f, HOME, 0, 2 * GIB);
	for (int i = 0; i < f->filled_count; i++) {
		uint64_t at = f->filled[i] * UNIT;
		bool moved = at >= start && at < start + UNIT;

		if (moved ? protection & PROT_WRITE : at < GIB)
			expect_store(a, HOME + at, stamp(f, at));
		else
			expect_store_signal(a, HOME + at, SIGSEGV);
	}
	expect_contents_at_hand(b, f, HOME, 0, 2 * GIB);
	expect_store(b, HOME + start, 0xB);
	expect_value(a, HOME + start, shape.private ? stamp(f, start) : 0xB);
}

static void boundary_moves_up(void)
{
	boundary_moves(GIB, PROT_READ | PROT_WRITE);
}

static void boundary_moves_down(void)
{
	boundary_moves(GIB - UNIT, PROT_READ);
}

/* mprotect works up to the hole, then says ENOMEM. */
static void over_a_hole(void)
{
	two_mappers(PROT_READ | PROT_WRITE);
	expect_call(a, 0, SYS_munmap, HOME + GIB + 4 * UNIT, UNIT);
	expect_call(a, -ENOMEM, SYS_mprotect, HOME, 2 * GIB, PROT_READ);
	expect_store_signal(a, HOME, SIGSEGV);
	expect_store_signal(a, HOME + GIB, SIGSEGV);
	expect_store(a, HOME + 2 * GIB - UNIT, 1);
	expect_store(b, HOME, 2);
	expect_value(a, HOME, shape.private ? stamp(f, 0) : 2);
	expect_contents(b, f, HOME + UNIT, UNIT, GIB - UNIT);
}

static bool cpu_has_pkeys(void)
{
	uint32_t a_out = 7, c_out = 0;

	asm volatile("cpuid" : "+a"(a_out), "+c"(c_out) : : "ebx", "edx");
	return c_out & 1 << 4; /* OSPKE */
}

#define SEGV_OF_PKEY 4 /* SEGV_PKUERR */

static void pkey(uint64_t start, uint64_t length)
{
	struct touch got;
	long key;

	if (!cpu_has_pkeys())
		skip_case("no protection keys here");
	two_mappers(PROT_READ | PROT_WRITE);
	key = call(a, SYS_pkey_alloc, 0, 0);
	require(key > 0, "pkey_alloc returns %ld", key);
	expect_call(a, 0, SYS_pkey_mprotect, HOME + start, length, PROT_READ | PROT_WRITE, key);
	expect_contents(a, f, HOME, 0, 2 * GIB);
	worker_set_pkru(a, 2U << (2 * key)); /* no stores */
	got = worker_store(a, HOME + start, 1);
	expect(got.signal == SIGSEGV && got.code == SEGV_OF_PKEY, "signal %d code %d", got.signal,
	       got.code);
	expect_contents(a, f, HOME + start, start, length);
	expect_store(b, HOME + start, 0xB);
	expect_value(a, HOME + start, shape.private ? stamp(f, start) : 0xB);
	worker_set_pkru(a, 1U << (2 * key)); /* no loads either */
	got = worker_load(a, HOME + start);
	expect(got.signal == SIGSEGV && got.code == SEGV_OF_PKEY, "signal %d code %d", got.signal,
	       got.code);
	/* B uses the same key number for nothing: its register must not matter. */
	worker_set_pkru(b, 1U << (2 * key));
	expect_value(b, HOME + start, 0xB);
	expect_store(b, HOME + start + PAGE, 0xBB);
	worker_set_pkru(a, 0);
	expect_store(a, HOME + start, 0xA);
	expect_value(b, HOME + start, shape.private ? 0xB : 0xA);
}

static void pkey_whole(void)
{
	pkey(0, 2 * GIB);
}

static void pkey_unit(void)
{
	pkey(UNIT, UNIT);
}

/* Both use the same key: alike, so they share, each under its own register. */
static void pkey_both(void)
{
	struct touch got;
	long keys[2];

	if (!cpu_has_pkeys())
		skip_case("no protection keys here");
	two_mappers(PROT_READ | PROT_WRITE);
	for (int i = 0; i < 2; i++) {
		keys[i] = call(i ? b : a, SYS_pkey_alloc, 0, 0);
		expect_call(i ? b : a, 0, SYS_pkey_mprotect, HOME, 2 * GIB, PROT_READ | PROT_WRITE,
			    keys[i]);
	}
	require(keys[0] > 0 && keys[0] == keys[1], "keys %ld and %ld", keys[0], keys[1]);
	tables_mark();
	expect_contents(a, f, HOME, 0, 2 * GIB);
	expect_contents(b, f, HOME, 0, 2 * GIB);
	expect_tables(2, 4);
	worker_set_pkru(a, 1U << (2 * keys[0]));
	got = worker_load(a, HOME);
	expect(got.signal == SIGSEGV && got.code == SEGV_OF_PKEY, "signal %d", got.signal);
	expect_store(b, HOME, 0xB);
	worker_set_pkru(a, 0);
	expect_value(a, HOME, shape.private ? stamp(f, 0) : 0xB);
}

#ifndef SYS_mseal
#define SYS_mseal 462
#endif

static void sealed(void)
{
	two_mappers(PROT_READ | PROT_WRITE);
	if (call(a, SYS_mseal, HOME + UNIT, UNIT, 0) == -ENOSYS)
		skip_case("no mseal in this kernel");
	expect_call(a, -EPERM, SYS_mprotect, HOME, 2 * GIB, PROT_READ);
	expect_call(a, -EPERM, SYS_munmap, HOME, 2 * GIB);
	expect_call(a, -EPERM, SYS_mremap, HOME + UNIT, UNIT, 2 * UNIT, MREMAP_MAYMOVE);
	expect_contents(a, f, HOME + UNIT, UNIT, UNIT);
	expect_call(b, 0, SYS_mprotect, HOME, 2 * GIB, PROT_NONE);
	expect_load_signal(b, HOME, SIGSEGV);
	expect_contents(a, f, HOME, 0, 2 * GIB);
	expect_store(a, HOME + UNIT, 0xA);
}

const struct semantic_case protect_cases[] = {
	{ "protect/whole-read-only", EVERY_SHAPE, whole_read_only, "PROT_READ for all of it" },
	{ "protect/whole-none", EVERY_SHAPE, whole_none, "PROT_NONE for all of it" },
	{ "protect/table-read-only", EVERY_SHAPE, table_read_only, "PROT_READ for one GiB of two" },
	{ "protect/unit-read-only", EVERY_SHAPE, unit_read_only, "PROT_READ for 2 MiB" },
	{ "protect/unit-none", EVERY_SHAPE, unit_none, "PROT_NONE for 2 MiB" },
	{ "protect/across-tables", EVERY_SHAPE, across_tables, "PROT_READ over a table boundary" },
	{ "protect/page-read-only", EVERY_SHAPE, page_read_only, "PROT_READ for 4 KiB" },
	{ "protect/grant-whole", EVERY_SHAPE, grant_whole, "a reader becomes a writer" },
	{ "protect/grant-table", EVERY_SHAPE, grant_table, "... in one GiB of two" },
	{ "protect/grant-unit", EVERY_SHAPE, grant_unit, "... in 2 MiB" },
	{ "protect/both-change", EVERY_SHAPE, both_change, "both change alike and share again" },
	{ "protect/split-and-merge", EVERY_SHAPE, split_and_merge,
	  "a split vma merges and shares again" },
	{ "protect/boundary-up", EVERY_SHAPE, boundary_moves_up,
	  "a vma grows into the next one's table" },
	{ "protect/boundary-down", EVERY_SHAPE, boundary_moves_down,
	  "a vma grows into the table before it" },
	{ "protect/unchanged", EVERY_SHAPE, unchanged, "an mprotect that changes nothing" },
	{ "protect/over-a-hole", EVERY_SHAPE, over_a_hole, "an mprotect that fails half-way" },
	{ "protect/pkey-whole", EVERY_SHAPE, pkey_whole, "a protection key for all of it" },
	{ "protect/pkey-unit", EVERY_SHAPE, pkey_unit, "a protection key for 2 MiB" },
	{ "protect/pkey-both", EVERY_SHAPE, pkey_both,
	  "one key in both: shared, registers differ" },
	{ "protect/sealed", EVERY_SHAPE, sealed, "mseal(2) of a unit" },
	{ 0 },
};
