/* SPDX-License-Identifier: GPL-2.0 */
/* Where mmap(2) puts a mapping when the program does not say. */
#include "cases.h"
#include "scene.h"

#include <sys/syscall.h>

static struct file *f;
static struct worker *a, *b;

static uint64_t anywhere(struct worker *w, uint64_t offset, uint64_t length, uint64_t hint,
			 int flags)
{
	return map_at(w, f->fd, hint, length, offset, PROT_READ | PROT_WRITE, shape_flag() | flags);
}

/* Two programs that know nothing of sharing get it anyway. */
static void shares_by_default(void)
{
	uint64_t at_a, at_b;

	f = file_standard(2);
	a = worker_start("A");
	b = worker_start("B");
	at_a = anywhere(a, 0, 2 * GIB, 0, 0);
	at_b = anywhere(b, 0, 2 * GIB, 0, 0);
	expect(at_a % UNIT == 0 && at_b % UNIT == 0, "0x%llx and 0x%llx", (unsigned long long)at_a,
	       (unsigned long long)at_b);
	if (sharing_on())
		expect(at_a % GIB == 0 && at_b % GIB == 0, "0x%llx and 0x%llx",
		       (unsigned long long)at_a, (unsigned long long)at_b);
	tables_mark();
	expect_contents(a, f, at_a, 0, 2 * GIB);
	expect_contents(b, f, at_b, 0, 2 * GIB);
	expect_tables(2, 4);
	expect_store(a, at_a, 1);
	expect_value(b, at_b, shape.private ? stamp(f, 0) : 1);
}

/* The address agrees with the offset, not with zero. */
static void follows_the_offset(void)
{
	const uint64_t offset = GIB / 2;
	uint64_t at_a, at_b;

	f = file_standard(3);
	a = worker_start("A");
	b = worker_start("B");
	at_a = anywhere(a, offset, 2 * GIB, 0, 0);
	at_b = anywhere(b, offset, 2 * GIB, 0, 0);
	expect((at_a - offset) % UNIT == 0, "0x%llx", (unsigned long long)at_a);
	if (sharing_on())
		expect((at_a - offset) % GIB == 0 && (at_b - offset) % GIB == 0,
		       "0x%llx and 0x%llx", (unsigned long long)at_a, (unsigned long long)at_b);
	tables_mark();
	expect_contents(a, f, at_a, offset, 2 * GIB);
	expect_contents(b, f, at_b, offset, 2 * GIB);
	expect_tables(1, 2);
}

/* A mapping that could never share is placed as ever. */
static void small_mapping(void)
{
	uint64_t at;

	f = file_standard(1);
	a = worker_start("A");
	tables_mark();
	at = anywhere(a, 0, 8 * UNIT, 0, 0);
	expect(at % UNIT == 0, "0x%llx", (unsigned long long)at);
	expect_contents(a, f, at, 0, 8 * UNIT);
	at = anywhere(a, UNIT + PAGE, PAGE, 0, 0);
	expect_value(a, at, stamp(f, UNIT + PAGE));
	expect_tables(0, 0);
}

static void hint_is_taken(void)
{
	f = file_standard(1);
	a = worker_start("A");
	expect(anywhere(a, 0, GIB, ELSEWHERE + PAGE, 0) == ELSEWHERE + PAGE,
	       "a free hint is not taken");
	expect_contents(a, f, ELSEWHERE + PAGE, 0, GIB);
	expect(anywhere(a, 0, GIB, HOME + UNIT, MAP_FIXED) == HOME + UNIT, "MAP_FIXED is not");
	expect_contents(a, f, HOME + UNIT, 0, GIB);
	/* Taken, the hint is a wish only. */
	expect(anywhere(a, 0, GIB, HOME + UNIT, 0) != HOME + UNIT, "something was mapped over");
	expect_contents(a, f, HOME + UNIT, 0, GIB);
}

/* A hint is free if the range itself is, however close its neighbour. */
static void hint_beside_neighbour(void)
{
	static const uint64_t gaps[] = { 2 * UNIT, 16 * UNIT, 500 * UNIT };

	f = file_standard(1);
	a = worker_start("A");
	for (int i = 0; i < 3; i++) {
		uint64_t neighbour = ELSEWHERE + GIB + gaps[i];

		map_at(a, f->fd, neighbour, PAGE, 0, PROT_READ, shape_flag() | MAP_FIXED);
		expect(anywhere(a, 0, GIB, ELSEWHERE, 0) == ELSEWHERE,
		       "a hint is not taken with a neighbour %llu MiB above",
		       (unsigned long long)(gaps[i] >> 20));
		expect_contents(a, f, ELSEWHERE, 0, GIB);
		expect_call(a, 0, SYS_munmap, ELSEWHERE, GIB);
		expect_call(a, 0, SYS_munmap, neighbour, PAGE);
	}
}

static void low_addresses(void)
{
	uint64_t at;

	f = file_standard(1);
	a = worker_start("A");
	at = anywhere(a, 0, GIB / 2, 0, MAP_32BIT);
	expect(at + GIB / 2 <= 1ULL << 32, "0x%llx", (unsigned long long)at);
	expect_contents(a, f, at, 0, GIB / 2);
}

/* So many that the wish for alignment must not make mmap fail early. */
static void many_mappings(void)
{
	uint64_t at[40];

	f = file_standard(1);
	a = worker_start("A");
	for (int i = 0; i < 40; i++)
		at[i] = anywhere(a, 0, GIB, 0, 0);
	tables_mark();
	for (int i = 0; i < 40; i++)
		expect_value(a, at[i] + UNIT, stamp(f, UNIT));
	expect_tables(1, 40);
	for (int i = 0; i < 40; i += 2)
		expect_call(a, 0, SYS_munmap, at[i], GIB);
	for (int i = 1; i < 40; i += 2)
		expect_value(a, at[i] + UNIT, stamp(f, UNIT));
}

/* Above 128 TiB, where the processor has five levels. */
static void high_addresses(void)
{
	const uint64_t high = 1ULL << 50;
	long got;

	f = file_standard(1);
	a = worker_start("A");
	b = worker_start("B");
	got = call(a, SYS_mmap, high, GIB, PROT_READ | PROT_WRITE, shape_flag(), f->fd, 0);
	if (got < (long)(1ULL << 47))
		skip_case("no five-level page tables here");
	map_at(b, f->fd, high, GIB, 0, PROT_READ | PROT_WRITE, shape_flag());
	if (shape.small)
		expect_call(a, 0, SYS_madvise, got, GIB, MADV_NOHUGEPAGE);
	tables_mark();
	expect_contents(a, f, got, 0, GIB);
	expect_contents(b, f, high, 0, GIB);
	expect_tables(1, 2);
}

const struct semantic_case address_cases[] = {
	{ "address/default", EVERY_SHAPE, shares_by_default, "unmodified programs share" },
	{ "address/offset", SHARED_2M | SHARED_4K | PRIVATE_2M, follows_the_offset,
	  "the address agrees with the offset" },
	{ "address/small", SHARED_2M | PRIVATE_2M, small_mapping, "small mappings" },
	{ "address/hint", SHARED_2M | PRIVATE_2M, hint_is_taken, "hints and MAP_FIXED" },
	{ "address/hint-beside", SHARED_2M | PRIVATE_2M, hint_beside_neighbour,
	  "hints with little room above" },
	{ "address/low", SHARED_2M | PRIVATE_2M, low_addresses, "MAP_32BIT" },
	{ "address/many", SHARED_2M | PRIVATE_2M, many_mappings, "forty mappings in one process" },
	{ "address/high", SHARED_2M | PRIVATE_2M, high_addresses, "five-level page tables" },
	{ 0 },
};
