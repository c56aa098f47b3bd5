/* SPDX-License-Identifier: GPL-2.0 */
/* MAP_PRIVATE: alike until the first store, then a copy that is nobody else's. */
#include "cases.h"
#include "scene.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct file *f;
static struct worker *a, *b, *s;

/* A and B map privately; S, shared, writes the file. All have touched everything. */
static void scene(int protection)
{
	f = file_standard(2);
	a = worker_start("A");
	b = worker_start("B");
	s = worker_start("S");
	for (int i = 0; i < 2; i++)
		map_at(i ? b : a, f->fd, HOME, 2 * GIB, 0, protection,
		       MAP_PRIVATE | MAP_NORESERVE | MAP_FIXED_NOREPLACE);
	map_at(s, f->fd, HOME, 2 * GIB, 0, PROT_READ | PROT_WRITE, MAP_SHARED);
	tables_mark();
	expect_contents(a, f, HOME, 0, 2 * GIB);
	expect_contents(b, f, HOME, 0, 2 * GIB);
	expect_tables(2, 4);
	expect_contents(s, f, HOME, 0, 2 * GIB);
}

static void one_writes(void)
{
	scene(PROT_READ | PROT_WRITE);
	tables_mark();
	expect_store(a, HOME + UNIT, 0xA);
	/* Only the table with the copy in it is left. */
	expect_detached(1);
	expect_contents(a, f, HOME + UNIT + PAGE, UNIT + PAGE, 2 * GIB - UNIT - PAGE);
	expect_contents(b, f, HOME, 0, 2 * GIB);
	expect_contents(s, f, HOME, 0, 2 * GIB);
	expect_file_word(f, UNIT, stamp(f, UNIT));
	expect_store(s, HOME + UNIT, 0x5);
	expect_value(a, HOME + UNIT, 0xA);
	expect_value(b, HOME + UNIT, 0x5);
	/* Where A has no copy it still sees the file, before and after it looked. */
	expect_store(s, HOME + UNIT + 2 * PAGE, 0x55);
	expect_value(a, HOME + UNIT + 2 * PAGE, 0x55);
	expect_store(s, HOME + UNIT + 2 * PAGE, 0x56);
	expect_value(a, HOME + UNIT + 2 * PAGE, 0x56);
}

static void both_write(void)
{
	scene(PROT_READ | PROT_WRITE);
	tables_mark();
	for (int i = 0; i < f->filled_count; i++) {
		uint64_t at = f->filled[i] * UNIT;

		expect_store(a, HOME + at, 0xA00 + i);
		expect_store(b, HOME + at, 0xB00 + i);
		expect_store(a, HOME + at + PAGE, 0xAA0 + i);
	}
	/* Tables that nobody uses any more are not kept until somebody unmaps. */
	expect_freed(2);
	for (int i = 0; i < f->filled_count; i++) {
		uint64_t at = f->filled[i] * UNIT;

		expect_value(a, HOME + at, 0xA00 + i);
		expect_value(b, HOME + at, 0xB00 + i);
		expect_value(a, HOME + at + PAGE, 0xAA0 + i);
		expect_value(b, HOME + at + PAGE, stamp(f, at + PAGE));
	}
	expect_contents(s, f, HOME, 0, 2 * GIB);
}

/* The very first access is a store: no shared entry was ever there. */
static void store_first(void)
{
	f = file_standard(1);
	a = worker_start("A");
	b = worker_start("B");
	map(a, f, 0, GIB);
	map(b, f, 0, GIB);
	expect_store(a, HOME, 0xA);
	expect_value(b, HOME, stamp(f, 0));
	expect_store(b, HOME + UNIT, 0xB);
	expect_value(a, HOME + UNIT, stamp(f, UNIT));
	expect_value(a, HOME, 0xA);
	expect_file_word(f, 0, stamp(f, 0));
}

static void join_after_copy(void)
{
	struct worker *c;

	f = file_standard(1);
	a = worker_start("A");
	b = worker_start("B");
	c = worker_start("C");
	map(a, f, 0, GIB);
	expect_store(a, HOME, 0xA);
	expect_contents(a, f, HOME + UNIT, UNIT, GIB - UNIT);
	map(b, f, 0, GIB);
	map(c, f, 0, GIB);
	tables_mark();
	expect_contents(b, f, HOME, 0, GIB);
	expect_contents(c, f, HOME, 0, GIB);
	expect_tables(1, 2);
	expect_value(a, HOME, 0xA);
}

static void fork_then_write(void)
{
	struct worker *child;

	scene(PROT_READ | PROT_WRITE);
	child = worker_fork(a, "child");
	expect_contents(child, f, HOME, 0, 2 * GIB);
	expect_store(child, HOME, 0xC);
	expect_value(a, HOME, stamp(f, 0));
	expect_store(a, HOME, 0xA);
	expect_value(child, HOME, 0xC);
	expect_contents(b, f, HOME, 0, 2 * GIB);
	expect_contents(s, f, HOME, 0, 2 * GIB);
}

static void write_then_fork(void)
{
	struct worker *child;

	scene(PROT_READ | PROT_WRITE);
	expect_store(a, HOME, 0xA);
	child = worker_fork(a, "child");
	expect_value(child, HOME, 0xA);
	/* The table with the copy in it is copied, the other one is shared. */
	tables_mark();
	expect_contents(child, f, HOME + UNIT, UNIT, 2 * GIB - UNIT);
	expect_tables(0, 1);
	expect_store(child, HOME, 0xC);
	expect_value(a, HOME, 0xA);
	expect_store(a, HOME + UNIT, 0xAA);
	expect_value(child, HOME + UNIT, stamp(f, UNIT));
	worker_exit(a);
	expect_value(child, HOME, 0xC);
	expect_contents(b, f, HOME, 0, 2 * GIB);
}

/* MADV_DONTNEED gives the copy up: the file shows again. */
static void dontneed(void)
{
	scene(PROT_READ | PROT_WRITE);
	expect_store(a, HOME + UNIT, 0xA);
	expect_store(a, HOME + UNIT + PAGE, 0xAA);
	expect_call(a, 0, SYS_madvise, HOME + UNIT, PAGE, MADV_DONTNEED);
	expect_value(a, HOME + UNIT, stamp(f, UNIT));
	expect_value(a, HOME + UNIT + PAGE, 0xAA);
	expect_call(a, 0, SYS_madvise, HOME, 2 * GIB, MADV_DONTNEED);
	expect_contents(a, f, HOME, 0, 2 * GIB);
	expect_contents(b, f, HOME, 0, 2 * GIB);
}

/* Truncation takes copies too: they lie beyond the end of the file. */
static void truncate_takes_copies(void)
{
	scene(PROT_READ | PROT_WRITE);
	expect_store(a, HOME + UNIT, 0xA);
	expect_store(a, HOME + PAGE, 0xAA);
	require(!ftruncate(f->fd, UNIT), "ftruncate");
	expect_load_signal(a, HOME + UNIT, SIGBUS);
	expect_store_signal(a, HOME + UNIT, SIGBUS);
	expect_load_signal(b, HOME + UNIT, SIGBUS);
	expect_load_signal(s, HOME + UNIT, SIGBUS);
	expect_value(a, HOME + PAGE, 0xAA);
	expect_contents(b, f, HOME, 0, UNIT);
	require(!ftruncate(f->fd, 2 * GIB), "ftruncate");
	expect_value(a, HOME + UNIT, 0);
	expect_value(b, HOME + UNIT, 0);
	expect_store(a, HOME + UNIT, 0xA2);
	expect_value(b, HOME + UNIT, 0);
}

/* A punched hole takes the file's blocks, not the copies. */
static void punch_keeps_copies(void)
{
	scene(PROT_READ | PROT_WRITE);
	expect_store(a, HOME + UNIT, 0xA);
	require(!fallocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, UNIT, UNIT),
		"punch: %s", strerror(errno));
	expect_value(a, HOME + UNIT, 0xA);
	expect_value(a, HOME + UNIT + PAGE, 0);
	expect_zeros(b, HOME + UNIT, UNIT);
	expect_zeros(s, HOME + UNIT, UNIT);
	expect_contents(a, f, HOME, 0, UNIT);
	expect_contents(b, f, HOME, 0, UNIT);
}

static void read_only_then_writable(void)
{
	scene(PROT_READ);
	expect_store_signal(a, HOME, SIGSEGV);
	expect_call(a, 0, SYS_mprotect, HOME, 2 * GIB, PROT_READ | PROT_WRITE);
	expect_store(a, HOME, 0xA);
	expect_store_signal(b, HOME, SIGSEGV);
	expect_contents(b, f, HOME, 0, 2 * GIB);
	expect_call(a, 0, SYS_mprotect, HOME, 2 * GIB, PROT_READ);
	expect_value(a, HOME, 0xA);
	expect_store_signal(a, HOME, SIGSEGV);
	expect_contents(b, f, HOME, 0, 2 * GIB);
}

/* mprotect, munmap and mremap around a copy keep it, and nobody else's. */
static void copies_survive(void)
{
	scene(PROT_READ | PROT_WRITE);
	expect_store(a, HOME + UNIT, 0xA);
	expect_store(a, HOME + GIB, 0xAA);
	expect_call(a, 0, SYS_munmap, HOME, UNIT);
	expect_value(a, HOME + UNIT, 0xA);
	expect_call(a, 0, SYS_mprotect, HOME + UNIT, UNIT, PROT_READ);
	expect_value(a, HOME + UNIT, 0xA);
	expect_call(a, ELSEWHERE, SYS_mremap, HOME + GIB, GIB, GIB, MREMAP_MAYMOVE | MREMAP_FIXED,
		    ELSEWHERE);
	expect_value(a, ELSEWHERE, 0xAA);
	expect_contents(a, f, ELSEWHERE + UNIT, GIB + UNIT, GIB - UNIT);
	expect_contents(b, f, HOME, 0, 2 * GIB);
	expect_contents(s, f, HOME, 0, 2 * GIB);
}

static uint64_t blocks(void)
{
	struct stat about;

	require(!fstat(f->fd, &about), "fstat");
	return about.st_blocks;
}

/* A private store into a hole copies zeros and allocates nothing in the file. */
static void store_into_hole(void)
{
	f = file_sparse(GIB);
	a = worker_start("A");
	b = worker_start("B");
	map(a, f, 0, GIB);
	map(b, f, 0, GIB);
	tables_mark();
	expect_zeros(a, HOME, UNIT);
	expect_zeros(b, HOME, UNIT);
	expect_tables(1, 2);
	expect_store(a, HOME + PAGE, 0xA);
	expect_value(a, HOME, 0);
	expect_value(a, HOME + 2 * PAGE, 0);
	expect_zeros(b, HOME, UNIT);
	expect(blocks() == 0, "the file has %llu blocks", (unsigned long long)blocks());
	/* The file gets data there later: who has no copy sees it. */
	file_write_word(f, 0, 1);
	file_write_word(f, PAGE, 2);
	expect_value(a, HOME, 1);
	expect_value(a, HOME + PAGE, 0xA);
	expect_value(b, HOME, 1);
	expect_value(b, HOME + PAGE, 2);
}

static void read_only_descriptor(void)
{
	f = file_standard(1);
	a = worker_start("A");
	b = worker_start("B");
	for (int i = 0; i < 2; i++)
		map_at(i ? b : a, f->read_only_fd, HOME, GIB, 0, PROT_READ | PROT_WRITE,
		       shape_flag());
	tables_mark();
	expect_contents(a, f, HOME, 0, GIB);
	expect_contents(b, f, HOME, 0, GIB);
	expect_tables(1, 2);
	expect_store(a, HOME, 0xA);
	expect_contents(b, f, HOME, 0, GIB);
	expect_file_word(f, 0, stamp(f, 0));
}

/* Copies in one of two mappings of the same process. */
static void twice_in_one_mm(void)
{
	f = file_standard(1);
	a = worker_start("A");
	map(a, f, 0, GIB);
	map_at(a, f->fd, ELSEWHERE, GIB, 0, PROT_READ | PROT_WRITE, shape_flag());
	expect_contents(a, f, HOME, 0, GIB);
	expect_contents(a, f, ELSEWHERE, 0, GIB);
	expect_store(a, HOME, 0xA);
	expect_contents(a, f, ELSEWHERE, 0, GIB);
	expect_store(a, ELSEWHERE + PAGE, 0xAA);
	expect_value(a, HOME + PAGE, stamp(f, PAGE));
	expect_value(a, HOME, 0xA);
}

/* Two threads of one process store into one page for the first time. */
static void threads_write(void)
{
	struct worker *thread;

	scene(PROT_READ | PROT_WRITE);
	thread = worker_thread(a, "thread of A");
	for (int i = 0; i < f->filled_count; i++) {
		uint64_t at = HOME + f->filled[i] * UNIT;

		worker_store_begin(a, at, 0xA);
		worker_store_begin(thread, at + 8, 0xAA);
		expect(!worker_touch_end(a).signal, "a signal");
		expect(!worker_touch_end(thread).signal, "a signal");
		expect_value(a, at + 8, 0xAA);
		expect_value(thread, at, 0xA);
	}
	expect_contents(b, f, HOME, 0, 2 * GIB);
	expect_contents(s, f, HOME, 0, 2 * GIB);
}

/* The kernel itself stores into the mapping on behalf of read(2). */
static void read_into(void)
{
	scene(PROT_READ | PROT_WRITE);
	expect_call(a, 8, SYS_pread64, f->fd, HOME + UNIT, 8, GIB);
	expect_value(a, HOME + UNIT, stamp(f, GIB));
	expect_contents(b, f, HOME, 0, 2 * GIB);
	expect_contents(s, f, HOME, 0, 2 * GIB);
}

const struct semantic_case private_cases[] = {
	{ "private/one-writes", PRIVATE_ALL, one_writes, "a copy for one, the file for the rest" },
	{ "private/both-write", PRIVATE_ALL, both_write, "two copies that differ" },
	{ "private/store-first", PRIVATE_ALL, store_first, "the first access is a store" },
	{ "private/join-after-copy", PRIVATE_ALL, join_after_copy,
	  "processes come after another has copied" },
	{ "private/fork-then-write", PRIVATE_ALL, fork_then_write, "parent and child part ways" },
	{ "private/write-then-fork", PRIVATE_ALL, write_then_fork, "a child inherits copies" },
	{ "private/dontneed", PRIVATE_ALL, dontneed, "MADV_DONTNEED drops copies" },
	{ "private/truncate", PRIVATE_ALL, truncate_takes_copies, "truncation drops copies" },
	{ "private/punch", PRIVATE_ALL, punch_keeps_copies, "a punched hole leaves copies alone" },
	{ "private/read-only-then-writable", PRIVATE_ALL, read_only_then_writable,
	  "mprotect makes a reader a writer of copies" },
	{ "private/copies-survive", PRIVATE_ALL, copies_survive,
	  "copies survive operations next to them" },
	{ "private/store-into-hole", PRIVATE_ALL, store_into_hole,
	  "a copy over a hole allocates no block" },
	{ "private/read-only-descriptor", PRIVATE_ALL, read_only_descriptor,
	  "copies of a file that may only be read" },
	{ "private/twice-in-one-mm", PRIVATE_ALL, twice_in_one_mm,
	  "a copy in one of two mappings" },
	{ "private/threads-write", PRIVATE_ALL, threads_write, "two threads make the same copy" },
	{ "private/read-into", PRIVATE_ALL, read_into, "read(2) into the mapping" },
	{ 0 },
};
