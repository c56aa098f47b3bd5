/* SPDX-License-Identifier: GPL-2.0 */
/* Who sees what, and who shares with whom, when nobody does anything unusual. */
#include "cases.h"
#include "scene.h"

#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static void expect_same_frames(struct worker *a, struct worker *b, struct file *f)
{
	for (int i = 0; i < f->filled_count; i++) {
		uint64_t at = HOME + f->filled[i] * UNIT;
		uint64_t one = pagemap_entry(a->pid, at), other = pagemap_entry(b->pid, at);

		expect((one & PM_PRESENT) && PM_PFN(one) == PM_PFN(other),
		       "pagemap of %s says %#llx and of %s %#llx", a->name, (unsigned long long)one,
		       b->name, (unsigned long long)other);
	}
}

static void identical(void)
{
	struct file *f = file_standard(1);
	struct worker *a = worker_start("A"), *b = worker_start("B"), *c = worker_start("C");
	long before;

	map(a, f, 0, GIB);
	map(b, f, 0, GIB);
	map(c, f, 0, GIB);
	tables_mark();
	before = faults_of(a->pid);
	expect_contents(a, f, HOME, 0, GIB);
	if (shape.bit == SHARED_2M || shape.bit == PRIVATE_2M)
		expect(faults_of(a->pid) - before <= 3 + sharing_on(), "%ld faults for 3 units",
		       faults_of(a->pid) - before);
	expect_tables(1, 1);
	before = faults_of(b->pid);
	expect_contents(b, f, HOME, 0, GIB);
	if (sharing_on())
		expect(faults_of(b->pid) - before <= 1, "%ld faults of a later process",
		       faults_of(b->pid) - before);
	else if (!shape.small && !shape.mixed)
		expect(faults_of(b->pid) - before == 3, "%ld faults for 3 units",
		       faults_of(b->pid) - before);
	expect_tables(0, 1);
	expect_contents(c, f, HOME, 0, GIB);
	expect_tables(0, 1);
	expect_same_frames(a, b, f);
	expect_same_frames(a, c, f);
	if (shape.private)
		return;
	expect_store(b, HOME + PAGE, 0xB);
	expect_value(a, HOME + PAGE, 0xB);
	expect_value(c, HOME + PAGE, 0xB);
	expect_store(c, HOME + PAGE, 0xC);
	expect_value(a, HOME + PAGE, 0xC);
	expect_value(b, HOME + PAGE, 0xC);
	expect_file_word(f, PAGE, 0xC);
}

static void many(void)
{
	static const char *const names[] = { "A", "B", "C", "D", "E", "F", "G", "H",
					     "I", "J", "K", "L", "M", "N", "O", "P" };
	struct worker *w[16];
	struct file *f = file_standard(1);
	long before, growth;

	for (int i = 0; i < 16; i++) {
		w[i] = worker_start(names[i]);
		map(w[i], f, 0, GIB);
	}
	before = page_tables_now(false).meminfo_kb;
	tables_mark();
	for (int i = 0; i < 16; i++)
		expect_contents(w[i], f, HOME, 0, GIB);
	expect_tables(1, 16);
	growth = page_tables_now(false).meminfo_kb - before;
	/*
	 * Each process needs a PUD page of its own here.  One page of PMDs and
	 * its two PTE tables (of units 0, 1 and 511) are all the rest there is.
	 */
	if (sharing_on())
		expect(growth <= 4 * (16 + 1 + 3), "page tables grew by %ld kB", growth);
	else
		expect(growth >= 4 * (16 + 16), "page tables grew by %ld kB only", growth);
	if (shape.private)
		return;
	for (int i = 0; i < 16; i++)
		expect_store(w[i], HOME + PAGE, i);
	for (int i = 0; i < 16; i++)
		expect_value(w[i], HOME + PAGE, 15);
}

static void several_gib(void)
{
	struct file *f = file_standard(3);
	struct worker *a = worker_start("A"), *b = worker_start("B");

	map(a, f, 0, 3 * GIB);
	map(b, f, 0, 3 * GIB);
	tables_mark();
	expect_contents(a, f, HOME, 0, 3 * GIB);
	expect_tables(3, 3);
	expect_contents(b, f, HOME, 0, 3 * GIB);
	expect_tables(0, 3);
	expect_store(a, HOME + 2 * GIB, 0xA);
	expect_value(b, HOME + 2 * GIB, shape.private ? stamp(f, 2 * GIB) : 0xA);
	expect_contents(b, f, HOME + GIB, GIB, GIB);
}

/* The ends of the vma lie inside tables, which are then nobody else's. */
static void odd_boundaries(void)
{
	const uint64_t start = GIB / 2, length = 2 * GIB;
	struct file *f = file_standard(3);
	struct worker *a = worker_start("A"), *b = worker_start("B");

	map(a, f, start, length);
	map(b, f, start, length);
	tables_mark();
	expect_contents(a, f, HOME + start, start, length);
	expect_contents(b, f, HOME + start, start, length);
	expect_tables(1, 2);
	expect_load_signal(a, HOME + start - PAGE, SIGSEGV);
	expect_load_signal(b, HOME + start + length, SIGSEGV);
	expect_store(b, HOME + start, 0xB);
	expect_value(a, HOME + start, shape.private ? 0 : 0xB);
}

static void different_lengths(void)
{
	struct file *f = file_standard(2);
	struct worker *a = worker_start("A"), *b = worker_start("B"), *c = worker_start("C");

	map(a, f, 0, 2 * GIB);
	map(b, f, 0, GIB);
	map(c, f, GIB, GIB);
	tables_mark();
	expect_contents(a, f, HOME, 0, 2 * GIB);
	expect_tables(2, 2);
	expect_contents(b, f, HOME, 0, GIB);
	expect_contents(c, f, HOME + GIB, GIB, GIB);
	expect_tables(0, 2);
	expect_load_signal(b, HOME + GIB, SIGSEGV);
	expect_load_signal(c, HOME, SIGSEGV);
}

static void part_of_a_table(void)
{
	struct file *f = file_standard(1);
	struct worker *a = worker_start("A"), *b = worker_start("B");

	map(a, f, 0, 16 * UNIT);
	map(b, f, 0, 16 * UNIT);
	tables_mark();
	expect_contents(a, f, HOME, 0, 16 * UNIT);
	expect_contents(b, f, HOME, 0, 16 * UNIT);
	expect_tables(0, 0);
	expect_load_signal(a, HOME + 16 * UNIT, SIGSEGV);
	expect_store(a, HOME, 0xA);
	expect_value(b, HOME, shape.private ? stamp(f, 0) : 0xA);
}

/* Address and offset differ modulo 1 GiB, or even modulo 2 MiB. */
static void incongruent_by(uint64_t bytes)
{
	struct file *f = file_standard(2);
	struct worker *a = worker_start("A"), *b = worker_start("B");

	for (int i = 0; i < 2; i++)
		map_at(i ? b : a, f->fd, HOME + bytes, 2 * GIB, 0, PROT_READ | PROT_WRITE,
		       shape_flag() | MAP_FIXED_NOREPLACE);
	tables_mark();
	expect_contents(a, f, HOME + bytes, 0, 2 * GIB);
	expect_contents(b, f, HOME + bytes, 0, 2 * GIB);
	expect_tables(0, 0);
	expect_store(a, HOME + bytes, 0xA);
	expect_value(b, HOME + bytes, shape.private ? stamp(f, 0) : 0xA);
}

static void incongruent_gib(void)
{
	incongruent_by(UNIT);
}

static void incongruent_unit(void)
{
	incongruent_by(PAGE);
}

static void twice_in_one_mm(void)
{
	struct file *f = file_standard(1);
	struct worker *a = worker_start("A"), *b = worker_start("B");

	map(a, f, 0, GIB);
	map_at(a, f->fd, ELSEWHERE, GIB, 0, PROT_READ | PROT_WRITE, shape_flag());
	map(b, f, 0, GIB);
	tables_mark();
	expect_contents(a, f, HOME, 0, GIB);
	expect_contents(a, f, ELSEWHERE, 0, GIB);
	expect_tables(1, 2);
	expect_contents(b, f, HOME, 0, GIB);
	expect_tables(0, 1);
	expect_call(a, 0, SYS_munmap, HOME, GIB);
	expect_load_signal(a, HOME, SIGSEGV);
	expect_contents(a, f, ELSEWHERE, 0, GIB);
	expect_contents(b, f, HOME, 0, GIB);
	expect_store(a, ELSEWHERE, 0xA);
	expect_value(b, HOME, shape.private ? stamp(f, 0) : 0xA);
	expect_call(a, 0, SYS_munmap, ELSEWHERE, GIB);
	expect_contents(b, f, HOME + UNIT, UNIT, GIB - UNIT);
}

static void reader_and_writer(bool writer_first)
{
	struct file *f = file_standard(1);
	struct worker *reader = worker_start("reader"), *writer = worker_start("writer");

	map_at(reader, f->fd, HOME, GIB, 0, PROT_READ, shape_flag());
	map(writer, f, 0, GIB);
	tables_mark();
	if (writer_first)
		expect_store(writer, HOME, 1);
	expect_contents(reader, f, HOME + UNIT, UNIT, GIB - UNIT);
	if (!writer_first)
		expect_store(writer, HOME, 1);
	if (!shape.private)
		expect_tables(2, 2);
	expect_value(reader, HOME, shape.private ? stamp(f, 0) : 1);
	expect_store_signal(reader, HOME, SIGSEGV);
	expect_store_signal(reader, HOME + UNIT, SIGSEGV);
	expect_store(writer, HOME, 2);
	expect_store_signal(reader, HOME, SIGSEGV);
	expect_value(reader, HOME, shape.private ? stamp(f, 0) : 2);
}

static void reader_first(void)
{
	reader_and_writer(false);
}

static void writer_first(void)
{
	reader_and_writer(true);
}

/* A shared mapping of a read-only descriptor may never become writable. */
static void read_only_descriptor(void)
{
	struct file *f = file_standard(1);
	struct worker *a = worker_start("A"), *b = worker_start("B");

	map(b, f, 0, GIB);
	map_at(a, f->read_only_fd, HOME, GIB, 0, PROT_READ, shape_flag());
	tables_mark();
	expect_store(b, HOME, 0xB);
	expect_contents(a, f, HOME + UNIT, UNIT, GIB - UNIT);
	if (!shape.private)
		expect_tables(2, 2);
	expect_store_signal(a, HOME, SIGSEGV);
	expect_call(a, shape.private ? 0 : -EACCES, SYS_mprotect, HOME, GIB,
		    PROT_READ | PROT_WRITE);
	if (shape.private) {
		expect_store(a, HOME, 0xA);
		expect_value(b, HOME, 0xB);
	} else {
		expect_store_signal(a, HOME, SIGSEGV);
	}
	expect_file_word(f, 0, shape.private ? stamp(f, 0) : 0xB);
}

/* Who only reads shares, whatever the file was opened for. */
static void opened_differently(void)
{
	struct file *f = file_standard(1);
	struct worker *a = worker_start("A"), *b = worker_start("B");

	map_at(a, f->read_only_fd, HOME, GIB, 0, PROT_READ, shape_flag());
	map_at(b, f->fd, HOME, GIB, 0, PROT_READ, shape_flag());
	tables_mark();
	expect_contents(a, f, HOME, 0, GIB);
	expect_contents(b, f, HOME, 0, GIB);
	expect_tables(1, 2);
	/* One may become writable, the other may not, and neither is by the other. */
	expect_call(a, -EACCES, SYS_mprotect, HOME, GIB, PROT_READ | PROT_WRITE);
	expect_call(b, 0, SYS_mprotect, HOME, GIB, PROT_READ | PROT_WRITE);
	expect_store(b, HOME + UNIT, 0xB);
	expect_store_signal(a, HOME + UNIT, SIGSEGV);
	expect_value(a, HOME + UNIT, 0xB);
	expect_file_word(f, UNIT, 0xB);
}

static void shared_beside_private(void)
{
	struct file *f = file_standard(1);
	struct worker *s = worker_start("shared"), *p = worker_start("private");

	map(s, f, 0, GIB);
	map_at(p, f->fd, HOME, GIB, 0, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE);
	tables_mark();
	expect_contents(s, f, HOME, 0, GIB);
	expect_contents(p, f, HOME, 0, GIB);
	expect_tables(2, 2);
	expect_store(s, HOME, 1);
	expect_value(p, HOME, 1);
	expect_store(p, HOME, 2);
	expect_value(s, HOME, 1);
	expect_store(s, HOME, 3);
	expect_value(p, HOME, 2);
	expect_store(s, HOME + PAGE, 4);
	expect_value(p, HOME + PAGE, 4);
	expect_contents(p, f, HOME + UNIT, UNIT, GIB - UNIT);
	expect_file_word(f, 0, 3);
}

static void executable(void)
{
	static const uint8_t instruction_ret[] = { 0xC3 };
	struct file *f = file_standard(1);
	struct worker *x = worker_start("executor"), *r = worker_start("reader");
	struct touch got;

	require(pwrite(f->fd, instruction_ret, 1, 2 * PAGE) == 1, "pwrite");
	map_at(x, f->fd, HOME, GIB, 0, PROT_READ | PROT_EXEC, shape_flag());
	map_at(r, f->fd, HOME, GIB, 0, PROT_READ, shape_flag());
	tables_mark();
	expect_contents(r, f, HOME, 0, GIB);
	expect_contents(x, f, HOME, 0, GIB);
	expect_tables(2, 2);
	got = worker_run(x, HOME + 2 * PAGE);
	expect(!got.signal, "executor meets signal %d", got.signal);
	got = worker_run(r, HOME + 2 * PAGE);
	/* Emulated processors without NX would not notice. */
	expect(got.signal == SIGSEGV, "reader executes: signal %d", got.signal);
	expect_call(x, 0, SYS_mprotect, HOME, GIB, PROT_READ);
	got = worker_run(x, HOME + 2 * PAGE);
	expect(got.signal == SIGSEGV, "executor still executes: signal %d", got.signal);
	expect_contents(r, f, HOME, 0, GIB);
}

/* Entries made by loads become writable by a store; everybody sees the store. */
static void upgrade(void)
{
	struct file *f = file_standard(1);
	struct worker *a = worker_start("A"), *b = worker_start("B");

	map(a, f, 0, GIB);
	map(b, f, 0, GIB);
	tables_mark();
	expect_contents(a, f, HOME, 0, GIB);
	expect_contents(b, f, HOME, 0, GIB);
	expect_tables(1, 2);
	for (uint64_t i = 1; i < 4; i++) {
		expect_store(b, HOME + UNIT, i);
		expect_value(a, HOME + UNIT, i);
		expect_store(a, HOME + UNIT, 100 + i);
		expect_value(b, HOME + UNIT, 100 + i);
	}
	expect_tables(0, 0);
	expect_file_word(f, UNIT, 103);
	expect_contents(a, f, HOME, 0, UNIT);
}

static void advice_differs(void)
{
	struct file *f = file_standard(1);
	struct worker *a = worker_start("A"), *b = worker_start("B");

	map(a, f, 0, GIB);
	map(b, f, 0, GIB);
	expect_call(b, 0, SYS_madvise, HOME, GIB, MADV_NOHUGEPAGE);
	tables_mark();
	expect_contents(a, f, HOME, 0, GIB);
	expect_contents(b, f, HOME, 0, GIB);
	expect_tables(2, 2);
	expect_store(b, HOME, 0xB);
	expect_value(a, HOME, shape.private ? stamp(f, 0) : 0xB);
	expect_store(a, HOME + PAGE, 0xA);
	expect_value(b, HOME + PAGE, shape.private ? stamp(f, PAGE) : 0xA);
}

/* 2 MiB entries are forbidden to one whole process. */
static void thp_disabled(void)
{
	struct file *f = file_standard(1);
	struct worker *a = worker_start("A"), *b = worker_start("B");
	long before;

	expect_call(a, 0, SYS_prctl, PR_SET_THP_DISABLE, 1, 0, 0, 0);
	map(a, f, 0, GIB);
	map(b, f, 0, GIB);
	tables_mark();
	expect_contents(b, f, HOME, 0, GIB);
	before = faults_of(a->pid);
	expect_contents(a, f, HOME, 0, GIB);
	expect(faults_of(a->pid) - before >= 3, "%ld faults for 9 pages",
	       faults_of(a->pid) - before);
	expect_tables(2, 2);
	expect_store(b, HOME, 0xB);
	expect_value(a, HOME, shape.private ? stamp(f, 0) : 0xB);
}

static void two_files(void)
{
	struct file *f = file_standard(1), *g = file_standard(1);
	struct worker *a = worker_start("A"), *b = worker_start("B");

	map(a, f, 0, GIB);
	map(b, g, 0, GIB);
	tables_mark();
	expect_contents(a, f, HOME, 0, GIB);
	expect_contents(b, g, HOME, 0, GIB);
	expect_tables(2, 2);
	expect_store(a, HOME, 0xA);
	expect_contents(b, g, HOME, 0, GIB);
}

/* A table's life ends with its last user, and a new one begins. */
static void again(void)
{
	struct file *f = file_standard(1);
	struct worker *a = worker_start("A"), *b = worker_start("B");

	tables_mark();
	for (int i = 0; i < 3; i++) {
		map(a, f, 0, GIB);
		map(b, f, 0, GIB);
		expect_contents(a, f, HOME, 0, GIB);
		expect_contents(b, f, HOME, 0, GIB);
		expect_tables(1, 2);
		expect_call(a, 0, SYS_munmap, HOME, GIB);
		expect_contents(b, f, HOME, 0, GIB);
		expect_call(b, 0, SYS_munmap, HOME, GIB);
		expect_load_signal(b, HOME, SIGSEGV);
	}
}

static void join_after_creator_left(void)
{
	struct file *f = file_standard(1);
	struct worker *a = worker_start("A"), *b = worker_start("B"), *c = worker_start("C");

	map(a, f, 0, GIB);
	map(b, f, 0, GIB);
	tables_mark();
	expect_contents(a, f, HOME, 0, GIB);
	expect_contents(b, f, HOME, 0, GIB);
	expect_tables(1, 2);
	worker_exit(a);
	map(c, f, 0, GIB);
	expect_contents(c, f, HOME, 0, GIB);
	expect_tables(0, 1);
	expect_contents(b, f, HOME, 0, GIB);
}

/* COLLAPSE_RANGE of one page leaves extents that no 2 MiB entry can map. */
static void misaligned_extents(void)
{
	struct file *f = file_preallocated(GIB + 4 * UNIT);
	struct worker *a = worker_start("A"), *b = worker_start("B");

	file_fill(f, 0);
	file_fill(f, 1);
	require(!fallocate(f->fd, FALLOC_FL_COLLAPSE_RANGE, 0, PAGE), "collapse: %s",
		strerror(errno));
	map(a, f, 0, GIB);
	map(b, f, 0, GIB);
	tables_mark();
	expect_value(a, HOME, stamp(f, PAGE));
	expect_value(b, HOME + UNIT - PAGE, stamp(f, UNIT));
	expect_value(a, HOME + UNIT - PAGE, stamp(f, UNIT));
	expect_value(b, HOME, stamp(f, PAGE));
	expect_tables(1, 2);
	expect_store(b, HOME, 0xB);
	expect_value(a, HOME, shape.private ? stamp(f, PAGE) : 0xB);
	expect_value(a, HOME + PAGE, 0);
}

static void populate(void)
{
	struct file *f = file_standard(1);
	struct worker *a = worker_start("A"), *b = worker_start("B");
	long before;

	/* Reads units 0 to 3 in: two of them with data, two unwritten. */
	map(a, f, 0, GIB);
	map(b, f, 0, GIB);
	expect_call(a, 0, SYS_madvise, HOME, 4 * UNIT, MADV_POPULATE_READ);
	before = faults_of(a->pid);
	expect_contents(a, f, HOME, 0, 4 * UNIT);
	expect_zeros(a, HOME + 2 * UNIT, 2 * UNIT);
	expect(faults_of(a->pid) == before, "%ld faults after populating",
	       faults_of(a->pid) - before);
	expect_contents(b, f, HOME, 0, 4 * UNIT);
}

static void map_populate(void)
{
	struct file *f = file_standard(1);
	struct worker *a = worker_start("A"), *b = worker_start("B");
	long before;

	/* All of the GiB, of which next to nothing is written. */
	if (shape.small)
		skip_case("reads a quarter of a million pages in");
	tables_mark();
	map_at(a, f->fd, HOME, GIB, 0, PROT_READ, shape_flag() | MAP_POPULATE);
	expect_tables(1, 1);
	before = faults_of(a->pid);
	expect_contents(a, f, HOME, 0, GIB);
	expect(faults_of(a->pid) == before, "%ld faults after populating",
	       faults_of(a->pid) - before);
	map_at(b, f->fd, HOME, GIB, 0, PROT_READ, shape_flag() | MAP_POPULATE);
	expect_tables(0, 1);
	expect_contents(b, f, HOME, 0, GIB);
}

static void map_sync(void)
{
	struct file *f = file_standard(1);
	struct worker *a = worker_start("A"), *b = worker_start("B"), *c = worker_start("C");
	/* With MAP_SHARED_VALIDATE, MAP_FIXED_NOREPLACE counts as unknown. */
	const int flags = MAP_SHARED_VALIDATE | MAP_SYNC | MAP_FIXED;

	if (call(a, SYS_mmap, HOME, GIB, PROT_READ, flags, f->fd, 0) == -EOPNOTSUPP)
		skip_case("MAP_SYNC is not offered by this device");
	map_at(a, f->fd, HOME, GIB, 0, PROT_READ | PROT_WRITE, flags);
	map_at(b, f->fd, HOME, GIB, 0, PROT_READ | PROT_WRITE, flags);
	map(c, f, 0, GIB);
	tables_mark();
	expect_store(a, HOME + 2 * UNIT, 1);
	expect_value(b, HOME + 2 * UNIT, 1);
	expect_value(c, HOME + 2 * UNIT, 1);
	expect_tables(2, 3);
	expect_store(b, HOME + 2 * UNIT + PAGE, 2);
	expect_value(a, HOME + 2 * UNIT + PAGE, 2);
	expect_store(c, HOME + 2 * UNIT, 3);
	expect_value(a, HOME + 2 * UNIT, 3);
}

static void remap_file_pages_moves(void)
{
	struct file *f = file_standard(2);
	struct worker *a = worker_start("A"), *b = worker_start("B");

	map(a, f, 0, 2 * GIB);
	map(b, f, 0, 2 * GIB);
	expect_contents(a, f, HOME, 0, 2 * GIB);
	expect_contents(b, f, HOME, 0, 2 * GIB);
	/* Unit 0 of A now shows what unit 512 of the file holds. */
	expect_call(a, 0, SYS_remap_file_pages, HOME, UNIT, 0, GIB / PAGE, 0);
	expect_contents(a, f, HOME, GIB, UNIT);
	expect_contents(a, f, HOME + UNIT, UNIT, 2 * GIB - UNIT);
	expect_contents(b, f, HOME, 0, 2 * GIB);
	expect_store(a, HOME, 0xA);
	expect_value(b, HOME + GIB, 0xA);
}

const struct semantic_case sharing_cases[] = {
	{ "sharing/identical", EVERY_SHAPE, identical,
	  "three processes map the same GiB: same data, same frames, one table" },
	{ "sharing/many", EVERY_SHAPE, many,
	  "sixteen processes: page tables of one, plus a PUD page each" },
	{ "sharing/several-gib", EVERY_SHAPE, several_gib, "one vma of 3 GiB: a table for each" },
	{ "sharing/odd-boundaries", EVERY_SHAPE, odd_boundaries,
	  "a vma from 0.5 to 2.5 GiB shares only the whole GiB inside" },
	{ "sharing/different-lengths", SHARED_2M | PRIVATE_2M, different_lengths,
	  "vmas of other lengths share the GiB they have in common" },
	{ "sharing/part-of-a-table", SHARED_2M | SHARED_4K | PRIVATE_2M, part_of_a_table,
	  "vmas below 1 GiB share nothing and work" },
	{ "sharing/incongruent-1G", SHARED_2M | SHARED_4K | PRIVATE_2M, incongruent_gib,
	  "address and offset differ modulo 1 GiB: nothing shared, data right" },
	{ "sharing/incongruent-2M", SHARED_2M | PRIVATE_2M, incongruent_unit,
	  "address and offset differ modulo 2 MiB: nothing shared, data right" },
	{ "sharing/twice-in-one-mm", EVERY_SHAPE, twice_in_one_mm,
	  "two mappings in one process share; one goes, the other stays" },
	{ "sharing/reader-first", EVERY_SHAPE, reader_first,
	  "a read-only mapping never gets a writer's entries" },
	{ "sharing/writer-first", EVERY_SHAPE, writer_first,
	  "a read-only mapping never gets a writer's entries" },
	{ "sharing/opened-differently", SHARED_ALL, opened_differently,
	  "two readers, one of which could write" },
	{ "sharing/read-only-descriptor", EVERY_SHAPE, read_only_descriptor,
	  "a mapping of a read-only descriptor stays read-only" },
	{ "sharing/shared-beside-private", SHARED_ALL, shared_beside_private,
	  "a private mapping keeps its copies, and sees the file where it has none" },
	{ "sharing/executable", SHARED_2M | SHARED_4K | PRIVATE_2M, executable,
	  "code runs where PROT_EXEC says so and nowhere else" },
	{ "sharing/upgrade", SHARED_ALL, upgrade, "stores after loads are seen by all" },
	{ "sharing/advice-differs", SHARED_2M | PRIVATE_2M, advice_differs,
	  "2 MiB and 4 KiB mappings of one file agree on data, in tables of their own" },
	{ "sharing/thp-disabled", SHARED_2M | PRIVATE_2M, thp_disabled,
	  "PR_SET_THP_DISABLE for one of them" },
	{ "sharing/two-files", EVERY_SHAPE, two_files,
	  "two files at one address are not confused" },
	{ "sharing/again", EVERY_SHAPE, again, "all unmap and map again, three times" },
	{ "sharing/creator-left", EVERY_SHAPE, join_after_creator_left,
	  "a table outlives the process that created it, and takes new users" },
	{ "sharing/misaligned-extents", SHARED_2M | PRIVATE_2M, misaligned_extents,
	  "extents no 2 MiB entry can map" },
	{ "sharing/populate-read", EVERY_SHAPE, populate,
	  "MADV_POPULATE_READ leaves nothing to fault" },
	{ "sharing/map-populate", SHARED_2M | PRIVATE_2M, map_populate,
	  "MAP_POPULATE of a whole GiB" },
	{ "sharing/map-sync", SHARED_2M | SHARED_4K, map_sync,
	  "MAP_SYNC mappings share with each other only" },
	{ "sharing/remap-file-pages", SHARED_ALL, remap_file_pages_moves,
	  "remap_file_pages of one unit" },
	{ 0 },
};
