/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One processor runs a spinner, which loads or stores one word and never
 * enters the kernel, so that it lives on what is in its TLB.  Meanwhile the
 * rest happens on processor 0.  A worker that slept between its accesses
 * would switch contexts, and so hide every flush that was forgotten.
 *
 * A walk over the mappings of a file visits them in the order in which equal
 * ones were made, and the first that is visited changes what they share: so
 * the spinner is once the first of two and once the second.
 */
#include "cases.h"
#include "scene.h"
#include "../lib/util.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/mman.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <linux/fs.h>
#include <unistd.h>

static struct file *f;
static struct worker *other, *spinner;

/* Everything on processor 0 from here on. */
static void settle_down(void)
{
	cpu_set_t set;

	if (options.processors < 2)
		skip_case("needs two processors");
	CPU_ZERO(&set);
	CPU_SET(0, &set);
	require(!sched_setaffinity(0, sizeof(set), &set), "cannot pin");
}

static void start_workers(bool spinner_first)
{
	if (spinner_first)
		spinner = worker_start("spinner");
	other = worker_start("other");
	if (!spinner_first)
		spinner = worker_start("spinner");
	worker_pin(spinner, 1);
}

/* Two mappings of the same, the spinner's made first or second; both have touched. */
static void pair(bool spinner_first, int protection)
{
	settle_down();
	f = file_standard(2);
	start_workers(spinner_first);
	for (int i = 0; i < 2; i++)
		map_at((i == 0) == spinner_first ? spinner : other, f->fd, HOME, 2 * GIB, 0,
		       protection, shape_flag() | MAP_FIXED_NOREPLACE);
	tables_mark();
	expect_contents(other, f, HOME, 0, 2 * GIB);
	expect_contents(spinner, f, HOME, 0, 2 * GIB);
	expect_tables(2, 4);
}

/* Nobody has a page to write back: the operation finds the file clean. */
static void make_clean(void)
{
	require(!fsync(f->fd), "fsync: %s", strerror(errno));
}

/* The spinner's accesses come to see @value, at the first turn begun after now. */
static void expect_seen(uint64_t value)
{
	bool turning = spin_turn(spinner);

	expect(turning, "the spinner met a signal");
	expect(!turning || spin_value(spinner) == value,
	       "the spinner still loads 0x%llx and not 0x%llx",
	       (unsigned long long)spin_value(spinner), (unsigned long long)value);
}

/* No access that begins from now on succeeds. */
static void expect_ends(int signal)
{
	struct touch got;

	if (spin_turn(spinner)) {
		spin_stop(spinner);
		expect(false, "the spinner goes on where signal %d is due", signal);
		return;
	}
	got = worker_touch_end(spinner);
	expect(got.signal == signal, "the spinner gets signal %d, not %d", got.signal, signal);
}

static void expect_goes_on(void)
{
	struct touch got = spin_stop(spinner);

	expect(!got.signal, "the spinner got signal %d", got.signal);
}

/*
 * fsync writes back, and must make the spinner's next store fault, or the
 * kernel would not know that there is something to write back again.
 */
static void flush_tracks(bool spinner_first, int (*flush)(int))
{
	pair(spinner_first, PROT_READ | PROT_WRITE);
	expect_store(other, HOME + UNIT, 1);
	spin_store(spinner, HOME + UNIT);
	for (int i = 0; i < 5; i++) {
		long before = faults_of(spinner->pid);

		/*
		 * No waiting: sooner or later the spinner is preempted, and a
		 * stale entry gone.  The first store after the flush counts.
		 */
		require(!flush(f->fd), "flush: %s", strerror(errno));
		expect(spin_turn(spinner), "the spinner met a signal");
		expect(faults_of(spinner->pid) > before,
		       "the spinner stores without a fault after flush %d", i);
	}
	expect_goes_on();
	expect_file_word(f, UNIT, spin_value(spinner));
	expect_value(other, HOME + UNIT, spin_value(spinner));
}

static void fsync_first(void)
{
	flush_tracks(true, fsync);
}

static void fsync_second(void)
{
	flush_tracks(false, fsync);
}

static void syncfs_first(void)
{
	flush_tracks(true, syncfs);
}

static void syncfs_second(void)
{
	flush_tracks(false, syncfs);
}

/* Writes back and returns at once: what fsync does besides may disturb the spinner. */
static int flush_range(int fd)
{
	return sync_file_range(fd, UNIT, PAGE,
			       SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
				       SYNC_FILE_RANGE_WAIT_AFTER);
}

static void flush_range_first(void)
{
	flush_tracks(true, flush_range);
}

static void flush_range_second(void)
{
	flush_tracks(false, flush_range);
}

/* The other has stored and the spinner only loads: no fault is due, nothing is lost. */
static void fsync_reader(void)
{
	pair(false, PROT_READ | PROT_WRITE);
	expect_store(other, HOME + UNIT, 1);
	spin_load(spinner, HOME + UNIT);
	for (uint64_t i = 2; i < 6; i++) {
		require(!fsync(f->fd), "fsync");
		expect_store(other, HOME + UNIT, i);
		expect_seen(i);
	}
	expect_goes_on();
}

/* Frozen, the file must not change under a writer that is on its way. */
static void freeze(bool spinner_first)
{
	uint64_t frozen;

	pair(spinner_first, PROT_READ | PROT_WRITE);
	expect_store(other, HOME + UNIT, 1);
	spin_store(spinner, HOME + UNIT);
	require(!ioctl(f->fd, FIFREEZE, 0), "freeze: %s", strerror(errno));
	frozen = file_read_word(f, UNIT);
	pause_ms(100);
	expect_file_word(f, UNIT, frozen);
	require(!ioctl(f->fd, FITHAW, 0), "thaw: %s", strerror(errno));
	expect(spin_turn(spinner), "the spinner met a signal");
	expect_goes_on();
}

static void freeze_first(void)
{
	freeze(true);
}

static void freeze_second(void)
{
	freeze(false);
}

static void punch(uint64_t offset, uint64_t length)
{
	require(!fallocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length),
		"punch: %s", strerror(errno));
}

/* A clean file: there is no write-back before the hole is punched that would flush. */
static void punch_loader(bool spinner_first, uint64_t page, uint64_t length)
{
	pair(spinner_first, PROT_READ | PROT_WRITE);
	make_clean();
	expect_value(other, HOME + page, stamp(f, page));
	spin_load(spinner, HOME + page);
	expect_seen(stamp(f, page));
	punch(page, length);
	expect_seen(0);
	expect_goes_on();
	expect_value(other, HOME + page, 0);
	expect_contents(other, f, HOME + GIB, GIB, GIB);
}

static void punch_unit_first(void)
{
	punch_loader(true, UNIT, UNIT);
}

static void punch_unit_second(void)
{
	punch_loader(false, UNIT, UNIT);
}

static void punch_page_first(void)
{
	punch_loader(true, UNIT + PAGE, PAGE);
}

static void punch_page_second(void)
{
	punch_loader(false, UNIT + PAGE, PAGE);
}

/*
 * A hole of one page costs each user one entry of its TLB, and not all of them.  A flush of more
 * than a few pages is one of everything: "pages:-1".
 */
static void flush_page(bool spinner_first)
{
	const char *const all[] = { "remote ipi send", "pages:-1", NULL };
	const char *const one[] = { "remote ipi send", "pages:1 ", NULL };
	const char *text;

	pair(spinner_first, PROT_READ | PROT_WRITE);
	make_clean();
	expect_value(other, HOME + UNIT + PAGE, stamp(f, UNIT + PAGE));
	spin_load(spinner, HOME + UNIT + PAGE);
	expect_seen(stamp(f, UNIT + PAGE));
	if (!trace_begin("tlb/tlb_flush"))
		skip_case("needs the tracepoint tlb_flush");
	punch(UNIT + PAGE, PAGE);
	text = trace_end();
	expect(lines_with(text, all) == 0, "%d flushes of everything", lines_with(text, all));
	expect(lines_with(text, one) > 0, "no other processor was asked to flush a page");
	expect_seen(0);
	expect_goes_on();
}

static void flush_page_first(void)
{
	flush_page(true);
}

static void flush_page_second(void)
{
	flush_page(false);
}

/*
 * Loads one page of a 2 MiB entry while another page of it is punched, before
 * or behind it.  The entry goes, and who has used it faults.
 */
static void punch_neighbour(bool spinner_first, uint64_t page, uint64_t hole)
{
	long before;

	pair(spinner_first, PROT_READ | PROT_WRITE);
	make_clean();
	expect_value(other, HOME + page, stamp(f, page));
	spin_load(spinner, HOME + page);
	expect_seen(stamp(f, page));
	before = faults_of(spinner->pid);
	punch(hole, PAGE);
	expect_seen(stamp(f, page));
	if (!shape.small && !shape.mixed)
		expect(faults_of(spinner->pid) > before, "the spinner has kept the 2 MiB entry");
	file_write_word(f, page, 7);
	expect_seen(7);
	expect_goes_on();
	expect_value(spinner, HOME + hole, 0);
	expect_value(other, HOME + hole, 0);
}

static void punch_neighbour_first(void)
{
	punch_neighbour(true, UNIT, UNIT + PAGE);
}

static void punch_neighbour_second(void)
{
	punch_neighbour(false, UNIT, UNIT + PAGE);
}

static void punch_neighbour_before_first(void)
{
	punch_neighbour(true, 2 * UNIT - PAGE, UNIT + PAGE);
}

static void punch_neighbour_before_second(void)
{
	punch_neighbour(false, 2 * UNIT - PAGE, UNIT + PAGE);
}

/*
 * Stores go on while the hole is punched: they must land in the blocks the
 * file gets there, not in those it has given back.
 */
static void punch_storer(bool spinner_first)
{
	uint64_t seen;

	pair(spinner_first, PROT_READ | PROT_WRITE);
	expect_store(other, HOME + UNIT, 1);
	spin_store(spinner, HOME + UNIT);
	for (int i = 0; i < 3; i++) {
		punch(UNIT, UNIT);
		expect(spin_turn(spinner), "the spinner met a signal");
		seen = file_read_word(f, UNIT);
		expect(spin_turn(spinner), "the spinner met a signal");
		expect(file_read_word(f, UNIT) != seen, "stores do not reach the file any more");
	}
	expect_goes_on();
	expect_file_word(f, UNIT, spin_value(spinner));
	expect_value(other, HOME + UNIT, spin_value(spinner));
}

static void punch_storer_first(void)
{
	punch_storer(true);
}

static void punch_storer_second(void)
{
	punch_storer(false);
}

static void truncate_loader(bool spinner_first)
{
	pair(spinner_first, PROT_READ | PROT_WRITE);
	make_clean();
	expect_value(other, HOME + GIB + UNIT, stamp(f, GIB + UNIT));
	spin_load(spinner, HOME + GIB + UNIT);
	require(!ftruncate(f->fd, GIB + UNIT), "ftruncate");
	expect_ends(SIGBUS);
	expect_load_signal(other, HOME + GIB + UNIT, SIGBUS);
	expect_contents(other, f, HOME, 0, GIB + UNIT);
	expect_contents(spinner, f, HOME, 0, GIB + UNIT);
}

static void truncate_loader_first(void)
{
	truncate_loader(true);
}

static void truncate_loader_second(void)
{
	truncate_loader(false);
}

static void truncate_storer(bool spinner_first)
{
	pair(spinner_first, PROT_READ | PROT_WRITE);
	expect_store(other, HOME + GIB + UNIT, 1);
	spin_store(spinner, HOME + GIB + UNIT);
	require(!ftruncate(f->fd, GIB + UNIT), "ftruncate");
	expect_ends(SIGBUS);
	expect_load_signal(other, HOME + GIB + UNIT, SIGBUS);
	/* The blocks are free: what the file gets when it grows again is zeros, and stays so. */
	require(!ftruncate(f->fd, 2 * GIB), "ftruncate");
	expect_zeros(other, HOME + GIB + UNIT, UNIT);
}

static void truncate_storer_first(void)
{
	truncate_storer(true);
}

static void truncate_storer_second(void)
{
	truncate_storer(false);
}

/* Another file takes the freed blocks: no late store may be found in it. */
static void freed_blocks(bool spinner_first)
{
	struct worker *reader;
	struct file *g;

	pair(spinner_first, PROT_READ | PROT_WRITE);
	expect_store(other, HOME + GIB + UNIT, 1);
	spin_store(spinner, HOME + GIB + UNIT);
	require(!ftruncate(f->fd, GIB), "ftruncate");
	expect_ends(SIGBUS);
	g = file_preallocated(GIB);
	file_fill(g, 0);
	file_fill(g, 1);
	reader = worker_start("reader");
	map_at(reader, g->fd, ELSEWHERE, GIB, 0, PROT_READ, shape_flag());
	expect_contents(reader, g, ELSEWHERE, 0, GIB);
}

static void freed_blocks_first(void)
{
	freed_blocks(true);
}

static void freed_blocks_second(void)
{
	freed_blocks(false);
}

/*
 * The other finds that a page has failed, and so everybody loses it.  There is
 * one walk for it: what the second one visited has in its TLB nothing else
 * takes away, as for truncation XFS does before it begins.
 */
static void poison(bool spinner_first)
{
	struct touch got;
	long before;

	pair(spinner_first, PROT_READ | PROT_WRITE);
	make_clean();
	expect_value(other, HOME + UNIT, stamp(f, UNIT));
	spin_load(spinner, HOME + UNIT);
	expect_seen(stamp(f, UNIT));
	before = faults_of(spinner->pid);
	got = call_guarded(other, SYS_madvise, HOME + UNIT, PAGE, MADV_HWPOISON);
	if (!got.signal && got.value == (uint64_t)-EINVAL)
		skip_case("no memory failure handling in this kernel");
	expect(got.signal == SIGBUS, "signal %d for the page that failed", got.signal);
	expect_seen(stamp(f, UNIT));
	expect(faults_of(spinner->pid) > before, "the spinner still has the page that failed");
	expect_goes_on();
	expect_value(other, HOME + UNIT, stamp(f, UNIT));
	expect_contents(other, f, HOME + GIB, GIB, GIB);
}

static void poison_first(void)
{
	poison(true);
}

static void poison_second(void)
{
	poison(false);
}

static void collapse_range(bool spinner_first)
{
	pair(spinner_first, PROT_READ | PROT_WRITE);
	make_clean();
	expect_value(other, HOME, stamp(f, 0));
	spin_load(spinner, HOME);
	require(!fallocate(f->fd, FALLOC_FL_COLLAPSE_RANGE, 0, UNIT), "collapse: %s",
		strerror(errno));
	expect_seen(stamp(f, UNIT));
	expect_goes_on();
	expect_value(other, HOME, stamp(f, UNIT));
}

static void collapse_first(void)
{
	collapse_range(true);
}

static void collapse_second(void)
{
	collapse_range(false);
}

/* A hole's zero page is in the TLB when the other fills the hole. */
static void hole_filled(bool spinner_first)
{
	settle_down();
	f = file_sparse(GIB);
	start_workers(spinner_first);
	for (int i = 0; i < 2; i++)
		map((i == 0) == spinner_first ? spinner : other, f, 0, GIB);
	expect_zeros(other, HOME, UNIT);
	spin_load(spinner, HOME + PAGE);
	expect_store(other, HOME + PAGE, 0xB);
	expect_seen(0xB);
	expect_store(other, HOME + PAGE, 0xC);
	expect_seen(0xC);
	expect_goes_on();
}

static void hole_filled_first(void)
{
	hole_filled(true);
}

static void hole_filled_second(void)
{
	hole_filled(false);
}

static void hole_written(bool spinner_first)
{
	settle_down();
	f = file_sparse(GIB);
	start_workers(spinner_first);
	for (int i = 0; i < 2; i++)
		map((i == 0) == spinner_first ? spinner : other, f, 0, GIB);
	expect_zeros(other, HOME, UNIT);
	spin_load(spinner, HOME + PAGE);
	file_write_word(f, PAGE, 0xF);
	expect_seen(0xF);
	expect_goes_on();
}

static void hole_written_first(void)
{
	hole_written(true);
}

static void hole_written_second(void)
{
	hole_written(false);
}

/* ... and when a store has to split the huge zero page for lack of room. */
static void hole_split(bool spinner_first)
{
	settle_down();
	f = file_sparse(GIB);
	start_workers(spinner_first);
	for (int i = 0; i < 2; i++)
		map((i == 0) == spinner_first ? spinner : other, f, 0, GIB);
	expect_zeros(other, HOME, UNIT);
	require(!fallocate(f->fd, 0, 256 * PAGE, PAGE), "fallocate");
	spin_load(spinner, HOME + PAGE);
	expect_store(other, HOME + PAGE, 0xB);
	expect_seen(0xB);
	expect_goes_on();
	expect_zeros(spinner, HOME + 2 * PAGE, UNIT - 2 * PAGE);
}

static void hole_split_first(void)
{
	hole_split(true);
}

static void hole_split_second(void)
{
	hole_split(false);
}

/*
 * From here on the spinner is a thread of the very process that changes its
 * mapping, while the other process shares: to leave the table flushes.
 */
static struct worker *a;

static void threads(void)
{
	settle_down();
	f = file_standard(2);
	other = worker_start("other");
	a = worker_start("A");
	map(other, f, 0, 2 * GIB);
	map(a, f, 0, 2 * GIB);
	expect_contents(other, f, HOME, 0, 2 * GIB);
	expect_contents(a, f, HOME, 0, 2 * GIB);
	spinner = worker_thread(a, "thread of A");
	worker_pin(spinner, 1);
}

static void spin_in_thread(void)
{
	threads();
	if (shape.private)
		spin_load(spinner, HOME + UNIT);
	else
		spin_store(spinner, HOME + UNIT);
}

static void unmap_whole(void)
{
	spin_in_thread();
	expect_call(a, 0, SYS_munmap, HOME, 2 * GIB);
	expect_ends(SIGSEGV);
	expect_contents(other, f, HOME + GIB, GIB, GIB);
}

static void unmap_unit(void)
{
	spin_in_thread();
	expect_call(a, 0, SYS_munmap, HOME + UNIT, UNIT);
	expect_ends(SIGSEGV);
	expect_contents(a, f, HOME + GIB, GIB, GIB);
	expect_contents(other, f, HOME + GIB, GIB, GIB);
}

/* What is unmapped is not what the spinner uses: it goes on. */
static void unmap_neighbour(void)
{
	spin_in_thread();
	expect_call(a, 0, SYS_munmap, HOME + 4 * UNIT, UNIT);
	expect(spin_turn(spinner), "the spinner met a signal");
	expect_goes_on();
	if (!shape.private)
		expect_value(other, HOME + UNIT, spin_value(spinner));
}

static void protect_none(void)
{
	spin_in_thread();
	expect_call(a, 0, SYS_mprotect, HOME, 2 * GIB, PROT_NONE);
	expect_ends(SIGSEGV);
	expect_store(other, HOME + UNIT, 1);
}

/* No store may be seen once mprotect(PROT_READ) has returned. */
static void protect_read(uint64_t start, uint64_t length)
{
	uint64_t last;

	threads();
	spin_store(spinner, HOME + UNIT);
	expect_call(a, 0, SYS_mprotect, HOME + start, length, PROT_READ);
	last = worker_load(a, HOME + UNIT).value;
	expect_ends(SIGSEGV);
	expect_value(a, HOME + UNIT, last);
	expect_value(other, HOME + UNIT, shape.private ? stamp(f, UNIT) : last);
	/* What others may do from here on does not help A. */
	expect_store(other, HOME + UNIT, 7);
	expect_store_signal(a, HOME + UNIT, SIGSEGV);
	expect_store_signal(spinner, HOME + UNIT, SIGSEGV);
}

static void protect_read_whole(void)
{
	protect_read(0, 2 * GIB);
}

static void protect_read_unit(void)
{
	protect_read(UNIT, UNIT);
}

static void remap_moves(void)
{
	spin_in_thread();
	expect_call(a, ELSEWHERE, SYS_mremap, HOME, 2 * GIB, 2 * GIB, MREMAP_MAYMOVE | MREMAP_FIXED,
		    ELSEWHERE);
	expect_ends(SIGSEGV);
	expect_contents(a, f, ELSEWHERE + GIB, GIB, GIB);
}

/* Another file is mapped where the spinner loads: it must load that. */
static void mapped_over(void)
{
	struct file *g;

	settle_down();
	g = file_standard(1);
	threads();
	spin_load(spinner, HOME + UNIT);
	expect_call(a, HOME, SYS_mmap, HOME, GIB, PROT_READ, shape_flag() | MAP_FIXED, g->fd, 0);
	expect_seen(stamp(g, UNIT));
	expect_goes_on();
	expect_contents(other, f, HOME, 0, GIB);
}

/* A thread makes the process's own copy: the spinner in it must see the copy. */
static void copied(void)
{
	threads();
	spin_load(spinner, HOME + UNIT);
	expect_seen(stamp(f, UNIT));
	for (uint64_t i = 1; i < 4; i++) {
		expect_store(a, HOME + UNIT, i);
		expect_seen(i);
	}
	expect_goes_on();
	expect_contents(other, f, HOME, 0, 2 * GIB);
}

/*
 * A store makes a copy while a thread faults on another page of the same
 * table: no matter who is first, one has the copy and the other the file.
 */
static void copy_race(void)
{
	threads();
	for (int i = 0; i < 20; i++) {
		uint64_t at = ELSEWHERE + i * GIB;

		map_at(a, f->fd, at, GIB, 0, PROT_READ | PROT_WRITE, shape_flag());
		expect_value(a, at + UNIT, stamp(f, UNIT));
		spin_load(spinner, at);
		expect_store(a, at + UNIT, i);
		expect_seen(stamp(f, 0));
		expect_goes_on();
		expect_value(spinner, at + UNIT, i);
		expect_value(a, at + UNIT + PAGE, stamp(f, UNIT + PAGE));
	}
	for (int i = 0; i < 20; i++)
		expect_value(a, ELSEWHERE + i * GIB + UNIT, i);
	expect_contents(other, f, HOME, 0, 2 * GIB);
}

/* A thread sleeps with the mm still loaded while another takes the mapping away. */
static void lazy_processor(void)
{
	threads();
	for (int i = 0; i < 5; i++) {
		if (shape.private)
			expect_value(spinner, HOME + UNIT, stamp(f, UNIT));
		else
			expect_store(spinner, HOME + UNIT, i);
		pause_ms(5);
		expect_call(a, 0, SYS_munmap, HOME, 2 * GIB);
		expect_load_signal(spinner, HOME + UNIT, SIGSEGV);
		map(a, f, 0, 2 * GIB);
		expect_contents(a, f, HOME + GIB, GIB, GIB);
	}
	expect_contents(other, f, HOME + GIB, GIB, GIB);
}

/* Another sharer's comings and goings do not disturb, and do not mislead, the spinner. */
static void others_leave(void)
{
	pair(true, PROT_READ | PROT_WRITE);
	if (shape.private)
		spin_load(spinner, HOME + UNIT);
	else
		spin_store(spinner, HOME + UNIT);
	expect_call(other, 0, SYS_munmap, HOME + UNIT, UNIT);
	expect_call(other, 0, SYS_mprotect, HOME + GIB, GIB, PROT_NONE);
	for (int i = 0; i < 3; i++) {
		struct worker *guest = worker_start("guest");

		map(guest, f, 0, 2 * GIB);
		expect_contents(guest, f, HOME + GIB, GIB, GIB);
		worker_kill(guest);
	}
	worker_exit(other);
	expect(spin_turn(spinner), "the spinner met a signal");
	expect_goes_on();
	expect_contents(spinner, f, HOME + GIB, GIB, GIB);
	if (!shape.private)
		expect_file_word(f, UNIT, spin_value(spinner));
}

const struct semantic_case warm_cases[] = {
	{ "warm/fsync-first", SHARED_ALL, fsync_first, "a storing spinner, first mapper, faults" },
	{ "warm/fsync-second", SHARED_ALL, fsync_second, "... and as the second" },
	{ "warm/sync-range-first", SHARED_ALL, flush_range_first, "the same by sync_file_range" },
	{ "warm/sync-range-second", SHARED_ALL, flush_range_second, "the same by sync_file_range" },
	{ "warm/syncfs-first", SHARED_2M, syncfs_first, "the same by syncfs" },
	{ "warm/syncfs-second", SHARED_2M, syncfs_second, "the same by syncfs" },
	{ "warm/fsync-reader", SHARED_ALL, fsync_reader, "a loading spinner sees every store" },
	{ "warm/freeze-first", SHARED_2M | SHARED_4K, freeze_first, "no store while frozen" },
	{ "warm/freeze-second", SHARED_2M | SHARED_4K, freeze_second, "no store while frozen" },
	{ "warm/punch-unit-first", EVERY_SHAPE, punch_unit_first,
	  "zeros after a hole, clean file" },
	{ "warm/punch-unit-second", EVERY_SHAPE, punch_unit_second,
	  "zeros after a hole, clean file" },
	{ "warm/punch-page-first", EVERY_SHAPE, punch_page_first, "zeros after a hole of 4 KiB" },
	{ "warm/punch-page-second", EVERY_SHAPE, punch_page_second, "zeros after a hole of 4 KiB" },
	{ "warm/flush-page-first", SHARED_4K, flush_page_first,
	  "a hole of 4 KiB flushes one page" },
	{ "warm/flush-page-second", SHARED_4K, flush_page_second,
	  "a hole of 4 KiB flushes one page" },
	{ "warm/punch-neighbour-first", SHARED_ALL, punch_neighbour_first,
	  "a hole next to the spinner's page" },
	{ "warm/punch-neighbour-second", SHARED_ALL, punch_neighbour_second,
	  "a hole next to the spinner's page" },
	{ "warm/punch-neighbour-before-first", SHARED_ALL, punch_neighbour_before_first,
	  "a hole before the spinner's page" },
	{ "warm/punch-neighbour-before-second", SHARED_ALL, punch_neighbour_before_second,
	  "a hole before the spinner's page" },
	{ "warm/punch-storer-first", SHARED_ALL, punch_storer_first,
	  "stores reach the file's new blocks" },
	{ "warm/punch-storer-second", SHARED_ALL, punch_storer_second,
	  "stores reach the file's new blocks" },
	{ "warm/truncate-loader-first", EVERY_SHAPE, truncate_loader_first,
	  "SIGBUS after truncation, clean file" },
	{ "warm/truncate-loader-second", EVERY_SHAPE, truncate_loader_second,
	  "SIGBUS after truncation, clean file" },
	{ "warm/truncate-storer-first", EVERY_SHAPE, truncate_storer_first,
	  "SIGBUS after truncation, dirty file" },
	{ "warm/truncate-storer-second", EVERY_SHAPE, truncate_storer_second,
	  "SIGBUS after truncation, dirty file" },
	{ "warm/freed-blocks-first", SHARED_ALL, freed_blocks_first,
	  "no store into another file's blocks" },
	{ "warm/freed-blocks-second", SHARED_ALL, freed_blocks_second,
	  "no store into another file's blocks" },
	{ "warm/poison-first", EVERY_SHAPE, poison_first, "a page that failed leaves the TLB" },
	{ "warm/poison-second", EVERY_SHAPE, poison_second, "a page that failed leaves the TLB" },
	{ "warm/collapse-first", SHARED_2M | PRIVATE_2M, collapse_first, "other data moves in" },
	{ "warm/collapse-second", SHARED_2M | PRIVATE_2M, collapse_second, "other data moves in" },
	{ "warm/hole-filled-first", SHARED_2M | SHARED_4K, hole_filled_first,
	  "a zero page is replaced by a store" },
	{ "warm/hole-filled-second", SHARED_2M | SHARED_4K, hole_filled_second,
	  "a zero page is replaced by a store" },
	{ "warm/hole-written-first", EVERY_SHAPE, hole_written_first,
	  "a zero page is replaced by write(2)" },
	{ "warm/hole-written-second", EVERY_SHAPE, hole_written_second,
	  "a zero page is replaced by write(2)" },
	{ "warm/hole-split-first", SHARED_2M, hole_split_first, "a huge zero page is split" },
	{ "warm/hole-split-second", SHARED_2M, hole_split_second, "a huge zero page is split" },
	{ "warm/unmap-whole", EVERY_SHAPE, unmap_whole, "a thread meets munmap of all" },
	{ "warm/unmap-unit", EVERY_SHAPE, unmap_unit, "a thread meets munmap of its unit" },
	{ "warm/unmap-neighbour", EVERY_SHAPE, unmap_neighbour,
	  "a thread does not notice munmap of another unit" },
	{ "warm/protect-none", EVERY_SHAPE, protect_none, "a thread meets PROT_NONE" },
	{ "warm/protect-read-whole", EVERY_SHAPE, protect_read_whole, "a thread meets PROT_READ" },
	{ "warm/protect-read-unit", EVERY_SHAPE, protect_read_unit,
	  "a thread meets PROT_READ of its unit" },
	{ "warm/remap", EVERY_SHAPE, remap_moves, "a thread meets mremap" },
	{ "warm/mapped-over", EVERY_SHAPE, mapped_over, "a thread meets another file" },
	{ "warm/copied", PRIVATE_ALL, copied, "a thread sees its process's new copy" },
	{ "warm/copy-race", PRIVATE_ALL, copy_race, "a thread faults while a copy is made" },
	{ "warm/lazy-processor", EVERY_SHAPE, lazy_processor, "a thread that slept meets munmap" },
	{ "warm/others-leave", EVERY_SHAPE, others_leave, "other sharers come and go" },
	{ 0 },
};
