/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Things that happen at the same time.  Each case gives two of them many
 * chances to meet; what it expects holds in whatever order they come.
 */
#include "cases.h"
#include "scene.h"
#include "../lib/util.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MOST 4 /* of those that do the same thing at once */

static struct file *f;
static struct worker *a, *b, *thread;

/* The case itself, and whom it starts, on processor 0 unless pinned elsewhere. */
static void need_processors(int count)
{
	cpu_set_t set;

	if (options.processors < count)
		skip_case("needs %d processors", count);
	CPU_ZERO(&set);
	CPU_SET(0, &set);
	require(!sched_setaffinity(0, sizeof(set), &set), "cannot pin");
}

/* A and B have mapped and touched 2 GiB; a thread of A lives on processor 1. */
static void pair_with_thread(void)
{
	need_processors(2);
	f = file_standard(2);
	b = worker_start("B");
	a = worker_start("A");
	map(b, f, 0, 2 * GIB);
	map(a, f, 0, 2 * GIB);
	expect_contents(b, f, HOME, 0, 2 * GIB);
	expect_contents(a, f, HOME, 0, 2 * GIB);
	thread = worker_thread(a, "thread of A");
	worker_pin(thread, 1);
}

/* ---- First touch ------------------------------------------------------- */

#define HOLES 128 /* units that are touched by all at once */

/* All of a unit is mapped by the huge zero page, not by small ones. */
static bool mapped_as_one(struct worker *w, uint64_t address)
{
	uint64_t first = pagemap_entry(w->pid, address);
	uint64_t last = pagemap_entry(w->pid, address + UNIT - PAGE);

	return (first & PM_PRESENT) && (last & PM_PRESENT) && is_zero_page(PM_PFN(first)) &&
	       PM_PFN(last) == PM_PFN(first) + UNIT / PAGE - 1;
}

static void expect_all_as_one(struct worker *w)
{
	int broken = 0;

	for (uint64_t at = 0; at < HOLES * UNIT; at += UNIT)
		broken += !mapped_as_one(w, HOME + at);
	expect(!broken, "%s: %d of %d units are not mapped by 2 MiB entries", w->name, broken,
	       HOLES);
}

static void touch_holes(struct worker *const w[MOST])
{
	gate_close();
	for (int i = 0; i < MOST; i++)
		worker_sweep_begin(w[i], HOME, HOLES * UNIT, UNIT, 0);
	gate_open(MOST);
	for (int i = 0; i < MOST; i++)
		expect(worker_touch_end(w[i]).value == ALL_THE_SAME, "%s finds data in a hole",
		       w[i]->name);
}

/*
 * The huge zero page is given back when nobody has a use for it any more, and
 * then has to be allocated again.
 */
static long zero_pages_allocated(void)
{
	for (int i = 0; i < 3; i++) {
		write_text("/proc/sys/vm/drop_caches", "3");
		pause_ms(20);
	}
	return number_after("/proc/vmstat", "thp_zero_page_alloc ");
}

static void start_on_every_processor(struct worker *w[MOST])
{
	static const char *const names[MOST] = { "A", "B", "C", "D" };

	for (int i = 0; i < MOST; i++) {
		w[i] = worker_start(names[i]);
		worker_pin(w[i], i);
	}
}

/* Several processes touch the same holes for the first time, each on a processor of its own. */
static void first_touch(void)
{
	struct worker *w[MOST];
	long before = 0, after;

	need_processors(MOST);
	f = file_sparse(GIB);
	for (int turn = 0; turn < 3; turn++) {
		start_on_every_processor(w);
		for (int i = 0; i < MOST; i++)
			map(w[i], f, 0, GIB);
		touch_holes(w);
		for (int i = 0; i < MOST; i++)
			expect_all_as_one(w[i]);
		for (int i = 0; i < MOST; i++)
			worker_exit(w[i]);
		after = zero_pages_allocated();
		expect(!turn || after > before, "the huge zero page stays although nobody uses it");
		before = after;
	}
}

/* Different holes in one table: each brings the huge zero page in, no matter which is first. */
static void first_zero_page(void)
{
	struct worker *w[MOST];
	long before = 0, after;

	need_processors(MOST);
	f = file_sparse(GIB);
	file_write_word(f, MOST * UNIT, 1);
	for (int turn = 0; turn < 2; turn++) {
		start_on_every_processor(w);
		for (int again = 0; again < 60; again++) {
			/* They attach one after the other, but to a table without zero pages. */
			for (int i = 0; i < MOST; i++) {
				map(w[i], f, 0, GIB);
				expect_value(w[i], HOME + MOST * UNIT, 1);
			}
			gate_close();
			for (int i = 0; i < MOST; i++)
				worker_sweep_begin(w[i], HOME + i * UNIT, PAGE, PAGE, 0);
			gate_open(MOST);
			for (int i = 0; i < MOST; i++)
				worker_touch_end(w[i]);
			for (int i = 0; i < MOST; i++)
				expect_call(w[i], 0, SYS_munmap, HOME, GIB);
		}
		for (int i = 0; i < MOST; i++)
			worker_exit(w[i]);
		after = zero_pages_allocated();
		expect(!turn || after > before, "the huge zero page stays although nobody uses it");
		before = after;
	}
}

/* Threads of one process do so: the gigabyte gets one table, no matter who is first. */
static void first_touch_by_threads(void)
{
	struct worker *w[MOST];

	need_processors(MOST);
	f = file_standard(1);
	w[0] = worker_start("A");
	for (int i = 1; i < MOST; i++) {
		w[i] = worker_thread(w[0], "thread of A");
		worker_pin(w[i], i);
	}
	for (int turn = 0; turn < 30; turn++) {
		map(w[0], f, 0, GIB);
		tables_mark();
		gate_close();
		for (int i = 0; i < MOST; i++)
			worker_sweep_begin(w[i], HOME, PAGE, PAGE, stamp(f, 0));
		gate_open(MOST);
		for (int i = 0; i < MOST; i++)
			expect(worker_touch_end(w[i]).value == ALL_THE_SAME, "wrong data");
		expect_tables(1, 1);
		expect_call(w[0], 0, SYS_munmap, HOME, GIB);
		expect_detached(1);
	}
}

/* ---- A first touch in the middle of a walk ----------------------------- */

#define BYSTANDERS 1000 /* mappings that make a walk take its time */
/* Any less of it does not write DAX pages back. */
#define WRITE_BACK \
	(SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER)

/*
 * B has stored, and somebody flushes: a walk makes the entry read-only in one
 * mapping of the file after the other, B's the last.  A's mapping is the first,
 * and is without a table at the time; A gets one, with B's entry in it, while
 * the walk is on its way between the two.  It must not be the entry of before,
 * or A stores through it for as long as its TLB likes, and nobody knows of it.
 */
static void attach_beside_flush(void)
{
	const int turns = 80;
	struct worker *flusher;
	struct tables before;
	uint32_t delay = 0;
	char path[64];

	need_processors(3);
	f = file_standard(2);
	a = worker_start("A");
	b = worker_start("B");
	flusher = worker_start("flusher");
	worker_pin(a, 1);
	worker_pin(flusher, 2);
	snprintf(path, sizeof(path), "/proc/%d/clear_refs", a->pid);
	/* The walk goes by where in the file a mapping begins, then by age. */
	map(a, f, GIB - UNIT, GIB + UNIT);
	for (int i = 0; i < BYSTANDERS; i++)
		expect_call(b, ELSEWHERE + i * GIB, SYS_mmap, ELSEWHERE + i * GIB, GIB, PROT_READ,
			    shape_flag() | MAP_FIXED_NOREPLACE, f->fd, GIB);
	map(b, f, GIB, GIB);
	before = tables_now();
	/* From at once to a million turns of a loop later: some kernels take their time. */
	for (int turn = 0; turn < turns; turn++, delay += delay / 10 + 50) {
		long faults;

		expect_store(b, HOME + GIB, turn);
		/* It lets go of its table, and will want the same one again. */
		require(!write_text(path, "1"), "cannot write %s", path);
		gate_close();
		gate_delay(a, delay);
		spin_store_begin(a, HOME + GIB);
		call_begin(flusher, SYS_sync_file_range, f->fd, GIB, PAGE, WRITE_BACK);
		gate_open(2);
		expect(!worker_call_end(flusher), "sync_file_range fails");
		require(spin_turn(a), "A met a signal");
		/* If the kernel knows that A stores, this takes away A's permission to. */
		faults = faults_of(a->pid);
		require(!sync_file_range(f->fd, GIB, PAGE, WRITE_BACK), "sync_file_range");
		expect(spin_turn(a), "A met a signal");
		expect(faults_of(a->pid) > faults, "turn %d: A stores and nobody knows", turn);
		expect(!spin_stop(a).signal, "A met a signal");
		expect_value(b, HOME + GIB, spin_value(a));
	}
	if (sharing_on())
		expect(tables_now().attach - before.attach >= turns, "A was not alone at first");
}

/* ---- Unmapping during GUP-fast ----------------------------------------- */

static void protect_twice(void)
{
	expect_call(a, 0, SYS_mprotect, HOME, 2 * GIB, PROT_READ);
	expect_value(a, HOME + GIB, stamp(f, GIB));
	expect_call(a, 0, SYS_mprotect, HOME, 2 * GIB, PROT_READ | PROT_WRITE);
}

static void map_over(void)
{
	map_at(a, f->fd, HOME, 2 * GIB, 0, PROT_READ | PROT_WRITE, shape_flag() | MAP_FIXED);
}

/* In part, at the other end of the same table. */
static void unmap_elsewhere(void)
{
	expect_call(a, 0, SYS_munmap, HOME + 4 * UNIT, UNIT);
	expect_value(a, HOME + UNIT, stamp(f, UNIT));
	map_at(a, f->fd, HOME + 4 * UNIT, UNIT, 4 * UNIT, PROT_READ | PROT_WRITE,
	       shape_flag() | MAP_FIXED);
}

/*
 * A thread has the kernel look a page up in A's tables with interrupts off and
 * no lock, all the time, to write it to a device.  Its process lets go of the
 * table meanwhile: while B keeps using it, and then as the last to do so, which
 * frees it.
 */
static void pin_beside_detach(void)
{
	static void (*const ways[])(void) = { protect_twice, map_over, unmap_elsewhere };
	static uint64_t block[512] __attribute__((aligned(4096)));
	int raw;

	raw = options.raw_device ? open(options.raw_device, O_RDWR | O_DIRECT) : -1;
	if (raw < 0)
		skip_case("no --raw-device");
	pair_with_thread();
	for (int i = 0; i < 120; i++) {
		if (i == 60) {
			expect_contents_at_hand(b, f, HOME, 0, 2 * GIB);
			worker_exit(b);
		}
		repeat_begin(thread, SYS_pwrite64, raw, HOME + UNIT, PAGE, 0);
		ways[i % 3]();
		expect_value(a, HOME + UNIT, stamp(f, UNIT));
		expect(repeat_end(thread) == (long)PAGE, "the page cannot be written");
		require(pread(raw, block, PAGE, 0) == (ssize_t)PAGE, "raw read");
		expect(block[0] == stamp(f, UNIT), "%#llx was written",
		       (unsigned long long)block[0]);
	}
	close(raw);
	expect_contents(a, f, HOME, 0, 2 * GIB);
}

/* ---- mprotect during a fault ------------------------------------------- */

/*
 * A thread that stores all the time faults at the very moment in which its
 * process has let go of its tables.  It must not get them back under the
 * permissions that are being withdrawn.
 */
static void protect(void)
{
	struct touch got;

	pair_with_thread();
	for (uint64_t i = 0; i < 20; i++) {
		spin_store(thread, HOME + UNIT);
		expect_call(a, 0, SYS_mprotect, HOME, 2 * GIB, PROT_READ);
		got = worker_touch_end(thread);
		expect(got.signal == SIGSEGV, "the spinner gets signal %d", got.signal);
		/* B's store makes the entry writable where B has it, and nowhere else. */
		expect_store(b, HOME + UNIT, i);
		expect_store_signal(thread, HOME + UNIT, SIGSEGV);
		expect_store_signal(a, HOME + UNIT, SIGSEGV);
		expect_value(a, HOME + UNIT, i);
		expect_call(a, 0, SYS_mprotect, HOME, 2 * GIB, PROT_READ | PROT_WRITE);
		expect_store(thread, HOME + UNIT, 100 + i);
		expect_value(b, HOME + UNIT, 100 + i);
	}
	expect_contents(a, f, HOME + GIB, GIB, GIB);
	expect_contents(b, f, HOME + GIB, GIB, GIB);
}

/* ---- Walks in search of copied pages ----------------------------------- */

#define IDLE "/sys/kernel/mm/page_idle/bitmap"

/* A worker that has the kernel look, all the time, for who maps one page. */
static struct worker *walker_of(struct worker *owner, uint64_t address)
{
	struct worker *walker = worker_start("walker");
	uint64_t *bit = worker_scratch(walker), frame, at;
	long fd = call(walker, SYS_open, ADDRESS_OF(IDLE), O_RDWR);

	if (fd < 0)
		skip_case("no idle page tracking in this kernel");
	/* Puts on the LRU lists what is on its way there. Compaction might take it off again. */
	write_text("/proc/sys/vm/drop_caches", "1");
	frame = PM_PFN(pagemap_entry(owner->pid, address));
	require(frame, "no frame at %#llx", (unsigned long long)address);
	*bit = 1ULL << frame % 64;
	at = frame / 64 * 8;
	expect_call(walker, 8, SYS_pwrite64, fd, ADDRESS_OF(bit), 8, at);
	expect_call(walker, 8, SYS_pread64, fd, ADDRESS_OF(bit), 8, at);
	require(*bit & 1ULL << frame % 64, "the kernel does not track frame %#llx",
		(unsigned long long)frame);
	*bit = 1ULL << frame % 64;
	worker_pin(walker, 1);
	repeat_begin(walker, SYS_pwrite64, fd, ADDRESS_OF(bit), 8, at);
	return walker;
}

/*
 * A parent's copy is looked for in its child too, under the lock of their
 * anon_vma and no other, and the child has a table there that it shares.
 */
static void anonymous_walk(void (*leave)(void))
{
	struct worker *walker;

	need_processors(2);
	f = file_standard(2);
	a = worker_start("parent");
	map(a, f, 0, 2 * GIB);
	expect_store(a, HOME, 0xA);
	b = worker_fork(a, "child");
	expect_store(a, HOME + GIB + UNIT, 0xAA);
	walker = walker_of(a, HOME + GIB + UNIT);
	for (int i = 0; i < 100; i++) {
		expect_value(b, HOME + GIB + UNIT, stamp(f, GIB + UNIT));
		leave();
		if (i % 25 == 24)
			write_text("/proc/sys/vm/compact_memory", "1");
	}
	expect(repeat_end(walker) == 8, "the walker failed");
	expect_value(a, HOME + GIB + UNIT, 0xAA);
	expect_value(a, HOME, 0xA);
	expect_value(b, HOME, 0xA);
}

static void child_unmaps(void)
{
	expect_call(b, 0, SYS_munmap, HOME + GIB, GIB);
	map(b, f, GIB, GIB);
}

static void child_protects(void)
{
	expect_call(b, 0, SYS_mprotect, HOME + GIB, GIB, PROT_READ);
	expect_value(b, HOME + GIB + UNIT, stamp(f, GIB + UNIT));
	expect_call(b, 0, SYS_mprotect, HOME + GIB, GIB, PROT_READ | PROT_WRITE);
}

static void anonymous_walk_unmap(void)
{
	anonymous_walk(child_unmaps);
}

static void anonymous_walk_protect(void)
{
	anonymous_walk(child_protects);
}

/* ---- Copies that a debugger makes -------------------------------------- */

static long memory_of(struct worker *who, struct worker *victim)
{
	char *path = worker_scratch(who);
	long fd;

	snprintf(path, SCRATCH_BYTES, "/proc/%d/mem", victim->pid);
	fd = call(who, SYS_open, ADDRESS_OF(path), O_RDWR);
	require(fd >= 0, "%s: %s", path, strerror(-fd));
	return fd;
}

static void write_as_debugger(struct worker *victim, uint64_t address, uint64_t word)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/mem", victim->pid);
	fd = open(path, O_RDWR);
	require(fd >= 0, "%s: %s", path, strerror(errno));
	expect(pwrite(fd, &word, sizeof(word), address) == sizeof(word), "%s: %s", path,
	       strerror(errno));
	close(fd);
}

/* A page that is present 4 KiB-wise must not be copied so; see gup.c. */
static uint64_t target(void)
{
	return shape.small ? UNIT + 5 * PAGE : UNIT;
}

static void expect_thread_sees(uint64_t value)
{
	bool turning = spin_turn(thread);

	expect(turning && spin_value(thread) == value, "the thread loads %#llx and not %#llx",
	       (unsigned long long)spin_value(thread), (unsigned long long)value);
}

/*
 * A debugger's store cannot wait until nobody is in the table that is shared,
 * so this one may be walked while the process has got another.
 */
static void replaced(void)
{
	struct worker *s;
	struct touch got;

	pair_with_thread();
	s = worker_start("S");
	map_at(s, f->fd, HOME, 2 * GIB, 0, PROT_READ | PROT_WRITE, MAP_SHARED);
	spin_load(thread, HOME + UNIT);
	write_as_debugger(a, HOME + target(), 0xA);
	expect_thread_sees(shape.small ? stamp(f, UNIT) : 0xA);
	spin_stop(thread);
	expect_value(a, HOME + target(), 0xA);
	expect_contents(b, f, HOME, 0, 2 * GIB);
	/* Where there is no copy A goes on to see the file, through whatever table. */
	spin_load(thread, HOME + UNIT + PAGE);
	expect_store(s, HOME + UNIT + PAGE, 7);
	expect_thread_sees(7);
	require(!fallocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, UNIT + PAGE, PAGE),
		"punch: %s", strerror(errno));
	expect_thread_sees(0);
	file_write_word(f, UNIT + PAGE, 8);
	expect_thread_sees(8);
	require(!ftruncate(f->fd, UNIT), "ftruncate");
	expect(!spin_turn(thread), "the thread goes on behind the end of the file");
	got = worker_touch_end(thread);
	expect(got.signal == SIGBUS, "the thread gets signal %d", got.signal);
	expect_load_signal(a, HOME + target(), SIGBUS);
	expect_load_signal(b, HOME + UNIT, SIGBUS);
	require(!ftruncate(f->fd, 2 * GIB), "ftruncate");
	expect_zeros(a, HOME + UNIT, UNIT);
	expect_zeros(b, HOME + UNIT, UNIT);
	expect_contents(a, f, HOME, 0, UNIT);
	write_as_debugger(a, HOME + target(), 0xAA);
	expect_value(a, HOME + target(), 0xAA);
	expect_zeros(b, HOME + UNIT, UNIT);
}

/* The others leave first, so that nobody but the debugger's victim knows the table. */
static void replaced_by_the_last(void)
{
	pair_with_thread();
	worker_exit(b);
	for (int i = 0; i < 2; i++) {
		write_as_debugger(a, HOME + i * GIB + target(), 0xA + i);
		expect_value(thread, HOME + i * GIB + target(), 0xA + i);
	}
	b = worker_start("B again");
	map(b, f, 0, 2 * GIB);
	expect_contents(b, f, HOME, 0, 2 * GIB);
	/* In part, so that what is left of the vma has to do without the table. */
	expect_call(a, 0, SYS_munmap, HOME + 4 * UNIT, UNIT);
	expect_value(a, HOME + target(), 0xA);
	expect_call(a, 0, SYS_mprotect, HOME + GIB, GIB, PROT_READ);
	expect_value(a, HOME + GIB + target(), 0xB);
	expect_store_signal(a, HOME + GIB + target(), SIGSEGV);
	expect_contents(b, f, HOME, 0, 2 * GIB);
}

/* ... and a child of the victim is there when it is done. */
static void replaced_then_fork(void)
{
	struct worker *child;

	pair_with_thread();
	write_as_debugger(a, HOME + target(), 0xA);
	child = worker_fork(a, "child");
	expect_value(child, HOME + target(), 0xA);
	expect_store(child, HOME + target(), 0xC);
	expect_value(a, HOME + target(), 0xA);
	expect_contents(child, f, HOME + GIB, GIB, GIB);
	worker_exit(b);
	expect_call(a, 0, SYS_munmap, HOME, 2 * GIB);
	expect_value(child, HOME + target(), 0xC);
	expect_contents(child, f, HOME + 2 * UNIT, 2 * UNIT, 2 * GIB - 2 * UNIT);
}

/*
 * Two debuggers want a copy of different pages at the same time.  Somebody
 * punches holes meanwhile: who walks the mappings of the file holds up the one
 * and the other, so that they go on together.
 */
static void replaced_twice(void)
{
	struct worker *writers[2], *puncher;
	long fds[2];

	need_processors(3);
	f = file_standard(1);
	a = worker_start("A");
	b = worker_start("B");
	for (int i = 0; i < 16; i++) {
		map_at(b, f->fd, ELSEWHERE + i * GIB, GIB, 0, PROT_READ | PROT_WRITE, shape_flag());
		expect_contents(b, f, ELSEWHERE + i * GIB, 0, GIB);
	}
	for (int i = 0; i < 2; i++) {
		writers[i] = worker_start(i ? "second writer" : "first writer");
		worker_pin(writers[i], i);
		fds[i] = memory_of(writers[i], a);
		*(uint64_t *)worker_scratch(writers[i]) = 0xD + i;
	}
	puncher = worker_start("puncher");
	worker_pin(puncher, 2);
	repeat_begin(puncher, SYS_fallocate, f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		     100 * UNIT, UNIT);
	for (int turn = 0; turn < 20; turn++) {
		map(a, f, 0, GIB);
		expect_value(a, HOME, stamp(f, 0));
		gate_close();
		for (int i = 0; i < 2; i++)
			call_begin(writers[i], SYS_pwrite64, fds[i],
				   ADDRESS_OF(worker_scratch(writers[i])), 8,
				   HOME + (2 + i) * UNIT);
		gate_open(2);
		for (int i = 0; i < 2; i++)
			expect(worker_call_end(writers[i]) == 8, "%s fails", writers[i]->name);
		for (int i = 0; i < 2; i++)
			expect_value(a, HOME + (2 + i) * UNIT, 0xD + i);
		expect_contents(a, f, HOME, 0, GIB);
		expect_call(a, 0, SYS_munmap, HOME, GIB);
	}
	expect(!repeat_end(puncher), "the puncher fails");
	expect_contents(b, f, ELSEWHERE, 0, GIB);
	expect_zeros(b, ELSEWHERE + 2 * UNIT, 2 * UNIT);
}

/*
 * Somebody reads A's memory through its page tables while they are replaced.
 * (Not while the file is cut as well: XFS waits for pages to be let go of, and
 * a reader that never rests keeps it waiting for ever, on any kernel.)
 */
static void replaced_while_read(void)
{
	struct worker *reader;
	long fd;

	pair_with_thread();
	reader = worker_start("reader");
	worker_pin(reader, 1);
	fd = memory_of(reader, a);
	for (int turn = 0; turn < 10; turn++) {
		repeat_begin(reader, SYS_pread64, fd, ADDRESS_OF(worker_scratch(reader)), 8,
			     HOME + UNIT + PAGE);
		write_as_debugger(a, HOME + UNIT + 5 * PAGE, 0xA);
		expect(repeat_end(reader) == 8, "the reader fails");
		require(!ftruncate(f->fd, UNIT), "ftruncate");
		expect_load_signal(a, HOME + UNIT + PAGE, SIGBUS);
		require(!ftruncate(f->fd, 2 * GIB), "ftruncate");
		expect_zeros(a, HOME + UNIT, UNIT);
		expect_zeros(b, HOME + UNIT, UNIT);
		file_write_word(f, UNIT + PAGE, 0xF00 + turn);
		expect_value(a, HOME + UNIT + PAGE, 0xF00 + turn);
		expect_value(b, HOME + UNIT + PAGE, 0xF00 + turn);
		expect_call(a, 0, SYS_munmap, HOME, 2 * GIB);
		map(a, f, 0, 2 * GIB);
		expect_value(a, HOME + UNIT + PAGE, 0xF00 + turn);
	}
}

const struct semantic_case race_cases[] = {
	{ "race/first-touch", SHARED_2M | PRIVATE_2M, first_touch,
	  "four processes touch one hole: 2 MiB entries stay whole, the zero page is given back" },
	{ "race/first-zero-page", SHARED_2M | PRIVATE_2M, first_zero_page,
	  "four processes touch four holes: the zero page is given back" },
	{ "race/first-touch-threads", EVERY_SHAPE, first_touch_by_threads,
	  "four threads touch one table" },
	{ "race/attach-flush", SHARED_ALL, attach_beside_flush,
	  "a first touch meets a walk that makes entries clean" },
	{ "race/pin-detach", EVERY_SHAPE, pin_beside_detach, "GUP-fast meets mprotect and munmap" },
	{ "race/protect", SHARED_ALL, protect, "a fault meets mprotect" },
	{ "race/anon-walk-unmap", PRIVATE_ALL, anonymous_walk_unmap,
	  "a copy is looked for where a child unmaps" },
	{ "race/anon-walk-protect", PRIVATE_ALL, anonymous_walk_protect,
	  "a copy is looked for where a child mprotects" },
	{ "race/replaced", PRIVATE_ALL, replaced,
	  "a debugger makes a copy under a thread that loads; then the file is cut" },
	{ "race/replaced-last", PRIVATE_ALL, replaced_by_the_last,
	  "... for the only process left" },
	{ "race/replaced-fork", PRIVATE_ALL, replaced_then_fork, "... and the process forks" },
	{ "race/replaced-twice", PRIVATE_ALL, replaced_twice, "two debuggers make copies at once" },
	{ "race/replaced-while-read", PRIVATE_ALL, replaced_while_read, "... while another reads" },
	{ 0 },
};
