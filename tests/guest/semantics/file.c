/* SPDX-License-Identifier: GPL-2.0 */
/* The file changes under its mappings: every one of them follows. */
#include "cases.h"
#include "scene.h"
#include "../lib/util.h"

#include <linux/falloc.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

static struct file *f;
static struct worker *a, *b;

static void map_both(uint64_t length)
{
	a = worker_start("A");
	b = worker_start("B");
	map(a, f, 0, length);
	map(b, f, 0, length);
}

static void mappers(void)
{
	f = file_standard(2);
	map_both(2 * GIB);
	tables_mark();
	expect_contents(a, f, HOME, 0, 2 * GIB);
	expect_contents(b, f, HOME, 0, 2 * GIB);
	expect_tables(2, 4);
}

static void change(int mode, uint64_t offset, uint64_t length)
{
	require(!fallocate(f->fd, mode, offset, length), "fallocate: %s", strerror(errno));
}

static void meet(uint64_t at, uint64_t word)
{
	struct touch before = worker_load(a, HOME + at);

	expect_store(b, HOME + at, word);
	expect_value(a, HOME + at, shape.private ? before.value : word);
	expect_file_word(f, at, shape.private ? before.value : word);
}

static void truncate_down(void)
{
	mappers();
	require(!ftruncate(f->fd, GIB + UNIT), "ftruncate");
	for (int i = 0; i < 2; i++) {
		struct worker *w = i ? b : a;

		expect_contents(w, f, HOME, 0, GIB + UNIT);
		expect_load_signal(w, HOME + GIB + UNIT, SIGBUS);
		expect_store_signal(w, HOME + GIB + UNIT, SIGBUS);
		expect_load_signal(w, HOME + 2 * GIB - PAGE, SIGBUS);
	}
	meet(0, 1);
}

static void truncate_to_nothing(void)
{
	mappers();
	require(!ftruncate(f->fd, 0), "ftruncate");
	for (int i = 0; i < f->filled_count; i++) {
		expect_load_signal(a, HOME + f->filled[i] * UNIT, SIGBUS);
		expect_store_signal(b, HOME + f->filled[i] * UNIT, SIGBUS);
	}
}

/* The rest of the last page reads as zeros, and so does what comes back. */
static void truncate_and_extend(void)
{
	mappers();
	require(!ftruncate(f->fd, UNIT + PAGE + 100), "ftruncate");
	expect_value(a, HOME + UNIT, stamp(f, UNIT));
	expect_value(b, HOME + UNIT + PAGE, stamp(f, UNIT + PAGE));
	expect_value(b, HOME + UNIT + 2 * PAGE - 8, 0);
	expect_load_signal(a, HOME + UNIT + 2 * PAGE, SIGBUS);
	expect_load_signal(b, HOME + UNIT + 2 * PAGE, SIGBUS);
	require(!ftruncate(f->fd, 2 * GIB), "ftruncate");
	expect_zeros(a, HOME + UNIT + 2 * PAGE, UNIT - 2 * PAGE);
	expect_zeros(b, HOME + UNIT + 2 * PAGE, UNIT - 2 * PAGE);
	expect_value(b, HOME + GIB, 0);
	expect_contents(a, f, HOME, 0, UNIT);
	meet(UNIT + PAGE, 1);
	meet(GIB, 2);
}

static void truncate_by_open(void)
{
	int fd;

	mappers();
	fd = open(f->path, O_RDWR | O_TRUNC);
	require(fd >= 0, "open: %s", strerror(errno));
	expect_load_signal(a, HOME, SIGBUS);
	expect_load_signal(b, HOME, SIGBUS);
	require(pwrite(fd, "\1\0\0\0\0\0\0\0", 8, 0) == 8, "pwrite");
	close(fd);
	expect_value(a, HOME, 1);
	expect_value(b, HOME, 1);
	expect_load_signal(b, HOME + PAGE, SIGBUS);
}

/* Mapped beyond its end, a file grows into the mapping. */
static void grow_into_mapping(void)
{
	f = file_preallocated(GIB / 2);
	file_fill(f, 0);
	map_both(GIB);
	tables_mark();
	expect_contents(a, f, HOME, 0, GIB / 2);
	expect_contents(b, f, HOME, 0, GIB / 2);
	expect_tables(1, 2);
	expect_load_signal(a, HOME + GIB / 2, SIGBUS);
	expect_load_signal(b, HOME + GIB - PAGE, SIGBUS);
	require(!ftruncate(f->fd, GIB), "ftruncate");
	file_fill(f, GIB / UNIT - 1);
	expect_contents(a, f, HOME, 0, GIB);
	expect_contents(b, f, HOME, 0, GIB);
	meet(GIB / 2, 1);
}

static void punch(uint64_t offset, uint64_t length)
{
	mappers();
	change(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length);
	for (int i = 0; i < 2; i++) {
		struct worker *w = i ? b : a;

		expect_zeros(w, HOME + offset, length);
		expect_contents(w, f, HOME, 0, offset);
		expect_contents(w, f, HOME + offset + length, offset + length,
				2 * GIB - offset - length);
	}
	expect_file_word(f, offset, 0);
	meet(offset, 1);
	meet(offset + length, 2);
}

static void punch_unit(void)
{
	punch(UNIT, UNIT);
}

/* The 2 MiB entry goes as a whole, the rest of its data does not. */
static void punch_page(void)
{
	punch(UNIT + PAGE, PAGE);
}

static void punch_across(void)
{
	punch(GIB - UNIT, 2 * UNIT);
}

static void punch_dirty(void)
{
	mappers();
	expect_store(a, HOME + UNIT, 0xA);
	expect_store(b, HOME + UNIT + PAGE, 0xB);
	change(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, UNIT, UNIT);
	if (shape.private) {
		expect_value(a, HOME + UNIT, 0xA);
		expect_value(b, HOME + UNIT + PAGE, 0xB);
	} else {
		expect_zeros(a, HOME + UNIT, UNIT);
		expect_zeros(b, HOME + UNIT, UNIT);
	}
	expect_value(b, HOME + UNIT, 0);
	expect_contents(a, f, HOME, 0, UNIT);
}

static void zero_range(void)
{
	mappers();
	change(FALLOC_FL_ZERO_RANGE, GIB, UNIT);
	expect_zeros(a, HOME + GIB, UNIT);
	expect_zeros(b, HOME + GIB, UNIT);
	expect_contents(a, f, HOME, 0, GIB);
	expect_contents(b, f, HOME + GIB + UNIT, GIB + UNIT, GIB - UNIT);
	meet(GIB, 1);
}

/* Everything behind the range moves: no old entry may be left. */
static void collapse_range(void)
{
	mappers();
	change(FALLOC_FL_COLLAPSE_RANGE, 0, UNIT);
	for (int i = 0; i < 2; i++) {
		expect_contents(i ? b : a, f, HOME, UNIT, 2 * GIB - UNIT);
		expect_load_signal(i ? b : a, HOME + 2 * GIB - UNIT, SIGBUS);
	}
	meet(0, 1);
}

static void insert_range(void)
{
	mappers();
	change(FALLOC_FL_INSERT_RANGE, UNIT, UNIT);
	for (int i = 0; i < 2; i++) {
		struct worker *w = i ? b : a;

		expect_contents(w, f, HOME, 0, UNIT);
		expect_zeros(w, HOME + UNIT, UNIT);
		expect_contents(w, f, HOME + 2 * UNIT, UNIT, 2 * GIB - 2 * UNIT);
	}
	meet(UNIT, 1);
}

static void hole_reads_zeros(void)
{
	f = file_sparse(GIB);
	map_both(GIB);
	tables_mark();
	expect_zeros(a, HOME, 2 * UNIT);
	expect_zeros(b, HOME, 2 * UNIT);
	expect_tables(1, 2);
	expect_zeros(b, HOME + GIB - UNIT, UNIT);
}

/*
 * Makes the kernel give an unused huge zero page back, and fills memory with
 * other things; with huge pages, which are what it becomes first.
 */
static void churn_memory(void)
{
	const size_t bytes = 64 << 20;
	char *memory;

	sync();
	for (int i = 0; i < 3; i++)
		write_text("/proc/sys/vm/drop_caches", "3");
	memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	require(memory != MAP_FAILED, "no memory");
	madvise(memory, bytes, MADV_HUGEPAGE);
	memset(memory, 0xAA, bytes);
	munmap(memory, bytes);
}

/* Every unit is still mapped by a page that is a zero page, not merely full of zeros. */
static void expect_zero_pages(struct worker *w, int units)
{
	for (int i = 0; i < units; i++) {
		uint64_t entry = pagemap_entry(w->pid, HOME + i * UNIT);

		expect(!(entry & PM_PRESENT) || is_zero_page(PM_PFN(entry)),
		       "%s: unit %d is mapped by frame %#llx, which is no zero page any more",
		       w->name, i, (unsigned long long)PM_PFN(entry));
	}
}

/* The huge zero page belongs to the mm that faulted on it first; that mm is gone. */
static void hole_owner_exits(void)
{
	f = file_sparse(GIB);
	map_both(GIB);
	tables_mark();
	expect_zeros(a, HOME, 4 * UNIT);
	expect_zeros(b, HOME, PAGE);
	expect_tables(1, 2);
	worker_exit(a);
	churn_memory();
	expect_zero_pages(b, 4);
	expect_zeros(b, HOME, 4 * UNIT);
	churn_memory();
	expect_zero_pages(b, 4);
	expect_zeros(b, HOME, 4 * UNIT);
	a = worker_start("A again");
	map(a, f, 0, GIB);
	expect_zeros(a, HOME, 4 * UNIT);
	meet(0, 1);
}

static void hole_is_filled(void)
{
	f = file_sparse(GIB);
	map_both(GIB);
	expect_zeros(a, HOME, 2 * UNIT);
	expect_zeros(b, HOME, 2 * UNIT);
	expect_store(b, HOME + PAGE, 0xB);
	expect_value(a, HOME + PAGE, shape.private ? 0 : 0xB);
	expect_value(a, HOME, 0);
	expect_store(a, HOME + UNIT, 0xA);
	expect_value(b, HOME + UNIT, shape.private ? 0 : 0xA);
	expect_file_word(f, UNIT, shape.private ? 0 : 0xA);
}

/* ... by write(2), which has to take the zero page out of every mapping. */
static void hole_is_written(void)
{
	f = file_sparse(GIB);
	map_both(GIB);
	expect_zeros(a, HOME, 2 * UNIT);
	expect_zeros(b, HOME, 2 * UNIT);
	file_write_word(f, PAGE, 1);
	expect_value(a, HOME + PAGE, 1);
	expect_value(b, HOME + PAGE, 1);
	file_write_word(f, UNIT, 2);
	expect_value(b, HOME + UNIT, 2);
	expect_value(a, HOME + UNIT, 2);
	expect_value(a, HOME, 0);
}

/*
 * The huge zero page is mapped, then one block in its range is allocated: a
 * store finds no room for a 2 MiB entry and has to split the one that is there.
 */
static void hole_splits(void)
{
	f = file_sparse(GIB);
	map_both(GIB);
	expect_zeros(a, HOME, 2 * UNIT);
	expect_zeros(b, HOME, 2 * UNIT);
	change(0, 256 * PAGE, PAGE);
	expect_store(b, HOME + PAGE, 0xB);
	expect_value(a, HOME + PAGE, shape.private ? 0 : 0xB);
	expect_zeros(a, HOME + 2 * PAGE, UNIT - 2 * PAGE);
	expect_store(a, HOME + 256 * PAGE, 0xA);
	expect_value(b, HOME + 256 * PAGE, shape.private ? 0 : 0xA);
	expect_zeros(a, HOME + UNIT, UNIT);
	expect_store(a, HOME, 0xAA);
	expect_value(b, HOME, shape.private ? 0 : 0xAA);
	expect_value(b, HOME + PAGE, 0xB);
}

static void written_by_write(void)
{
	mappers();
	for (uint64_t i = 1; i <= 3; i++) {
		file_write_word(f, UNIT + PAGE, i);
		expect_value(a, HOME + UNIT + PAGE, i);
		expect_value(b, HOME + UNIT + PAGE, i);
		expect_value(b, HOME + UNIT + 2 * PAGE, 0);
		file_write_word(f, UNIT + 2 * PAGE + 8, i);
		expect_value(a, HOME + UNIT + 2 * PAGE + 8, i);
	}
}

static void read_by_read(void)
{
	mappers();
	for (uint64_t i = 1; i <= 3; i++) {
		expect_store(i % 2 ? a : b, HOME + GIB, i);
		expect_file_word(f, GIB, shape.private ? stamp(f, GIB) : i);
	}
}

/* After fsync the next store must fault again: that is how the kernel learns of it. */
static void fsync_tracks(int (*flush)(void))
{
	struct worker *first, *second;
	long before;

	mappers();
	for (int i = 0; i < 4; i++) {
		first = i % 2 ? b : a;
		second = i % 2 ? a : b;
		expect_store(a, HOME + UNIT, i);
		expect_store(b, HOME + UNIT, i);
		require(!flush(), "flush: %s", strerror(errno));
		before = faults_of(first->pid);
		expect_store(first, HOME + UNIT, 100 + i);
		expect(faults_of(first->pid) > before, "%s stores without a fault", first->name);
		expect_store(second, HOME + UNIT, 200 + i);
		expect_value(first, HOME + UNIT, 200 + i);
		expect_file_word(f, UNIT, 200 + i);
	}
}

static int by_fsync(void)
{
	return fsync(f->fd);
}

static int by_sync(void)
{
	return syncfs(f->fd);
}

static int by_range(void)
{
	return sync_file_range(f->fd, UNIT, PAGE,
			       SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_BEFORE |
				       SYNC_FILE_RANGE_WAIT_AFTER);
}

static int by_msync(void)
{
	return call(b, SYS_msync, HOME, GIB, MS_SYNC);
}

static void fsync_cold(void)
{
	fsync_tracks(by_fsync);
}

static void syncfs_cold(void)
{
	fsync_tracks(by_sync);
}

static void sync_range_cold(void)
{
	fsync_tracks(by_range);
}

static void msync_cold(void)
{
	fsync_tracks(by_msync);
}

/* A store after fsync is a modification: the file's time says so. */
static void mtime_follows(void)
{
	struct stat before, after;

	mappers();
	expect_store(a, HOME, 1);
	for (int i = 0; i < 2; i++) {
		require(!fsync(f->fd) && !fstat(f->fd, &before), "fsync");
		pause_ms(30);
		expect_store(i ? a : b, HOME, 2 + i);
		require(!fstat(f->fd, &after), "fstat");
		expect(after.st_mtim.tv_sec > before.st_mtim.tv_sec ||
			       after.st_mtim.tv_nsec != before.st_mtim.tv_nsec,
		       "the modification time stands still");
	}
}

/*
 * The first process that stores after the page was made clean moves the file's time, even if it has
 * only loaded so far, and what it maps was made writable by others before.
 */
static void mtime_second(void)
{
	struct stat before, after;

	mappers();
	expect_store(a, HOME, 1);
	expect_value(b, HOME, 1);
	require(!fsync(f->fd) && !fstat(f->fd, &before), "fsync");
	pause_ms(30);
	expect_value(b, HOME, 1);
	expect_store(b, HOME, 2);
	require(!fstat(f->fd, &after), "fstat");
	expect(after.st_mtim.tv_sec > before.st_mtim.tv_sec ||
		       after.st_mtim.tv_nsec != before.st_mtim.tv_nsec,
	       "the modification time stands still");
}

/*
 * A fault that attaches goes to the file system for the entry that it needs, and not for one of
 * 1 GiB first: that it would have refused, but moved the file's time for.
 */
static void asked_once(void)
{
	const char *const fault[] = { "_fault: ", " order ", NULL };
	const char *const gigabyte[] = { "_fault: ", " order 18", NULL };
	const char *text;

	if (!sharing_on())
		skip_case("needs shared tables");
	f = file_standard(2);
	map_both(2 * GIB);
	if (!trace_begin("xfs/xfs_write_fault") && !trace_begin("xfs/xfs_filemap_fault"))
		skip_case("needs a tracepoint of XFS");
	tables_mark();
	expect_store(a, HOME, 1);
	text = trace_end();
	expect_tables(1, 1);
	expect(lines_with(text, fault) > 0, "XFS was not asked at all");
	expect(lines_with(text, gigabyte) == 0, "XFS was asked for 1 GiB");
	expect_value(b, HOME, 1);
}

/* A frozen file system takes no store, from any process. */
static void freeze(void)
{
	struct worker *w;

	mappers();
	expect_store(a, HOME, 1);
	expect_store(b, HOME, 2);
	for (int i = 0; i < 2; i++) {
		w = i ? b : a;
		require(!ioctl(f->fd, FIFREEZE, 0), "freeze: %s", strerror(errno));
		worker_store_begin(w, HOME, 3 + i);
		expect(!worker_done(w, 200), "%s stores into a frozen file system", w->name);
		require(!ioctl(f->fd, FITHAW, 0), "thaw: %s", strerror(errno));
		expect(!worker_touch_end(w).signal, "a signal");
		expect_value(i ? a : b, HOME, 3 + i);
	}
}

/* Removed, closed and unmapped by all but one; then its inode goes with the last. */
static void last_user(void)
{
	mappers();
	require(!unlink(f->path), "unlink");
	close(f->fd);
	close(f->read_only_fd);
	for (int i = 0; i < 2; i++) {
		call(i ? b : a, SYS_close, f->fd);
		call(i ? b : a, SYS_close, f->read_only_fd);
	}
	worker_exit(a);
	expect_contents(b, f, HOME, 0, 2 * GIB);
	expect_store(b, HOME, 0xB);
	expect_value(b, HOME, 0xB);
	expect_call(b, 0, SYS_munmap, HOME, 2 * GIB);
	expect_load_signal(b, HOME, SIGSEGV);
}

/* All unmap; the inode is dropped from memory and read again: the data is there. */
static void evicted(void)
{
	mappers();
	expect_store(a, HOME + UNIT, 0xA);
	expect_call(a, 0, SYS_munmap, HOME, 2 * GIB);
	expect_call(b, 0, SYS_munmap, HOME, 2 * GIB);
	churn_memory();
	map(a, f, 0, 2 * GIB);
	map(b, f, 0, 2 * GIB);
	expect_value(b, HOME + UNIT, shape.private ? stamp(f, UNIT) : 0xA);
	expect_contents(a, f, HOME + GIB, GIB, GIB);
}

const struct semantic_case file_cases[] = {
	{ "file/truncate", EVERY_SHAPE, truncate_down, "SIGBUS behind the end, for all" },
	{ "file/truncate-to-nothing", EVERY_SHAPE, truncate_to_nothing, "SIGBUS everywhere" },
	{ "file/truncate-and-extend", EVERY_SHAPE, truncate_and_extend, "what comes back is zero" },
	{ "file/truncate-by-open", EVERY_SHAPE, truncate_by_open, "O_TRUNC, then write(2)" },
	{ "file/grow", EVERY_SHAPE, grow_into_mapping, "a file grows into its mappings" },
	{ "file/punch-unit", EVERY_SHAPE, punch_unit, "a hole of 2 MiB" },
	{ "file/punch-page", EVERY_SHAPE, punch_page, "a hole of 4 KiB" },
	{ "file/punch-across", EVERY_SHAPE, punch_across, "a hole over a table boundary" },
	{ "file/punch-dirty", EVERY_SHAPE, punch_dirty, "a hole where both have stored" },
	{ "file/zero-range", EVERY_SHAPE, zero_range, "FALLOC_FL_ZERO_RANGE" },
	{ "file/collapse-range", EVERY_SHAPE, collapse_range, "FALLOC_FL_COLLAPSE_RANGE" },
	{ "file/insert-range", EVERY_SHAPE, insert_range, "FALLOC_FL_INSERT_RANGE" },
	{ "file/hole", EVERY_SHAPE, hole_reads_zeros, "holes read as zeros" },
	{ "file/hole-owner-exits", EVERY_SHAPE, hole_owner_exits,
	  "the process that brought the huge zero page in is gone" },
	{ "file/hole-filled", EVERY_SHAPE, hole_is_filled, "a store fills a hole" },
	{ "file/hole-written", EVERY_SHAPE, hole_is_written, "write(2) fills a hole" },
	{ "file/hole-splits", EVERY_SHAPE, hole_splits,
	  "a store finds a huge zero page and no room for 2 MiB" },
	{ "file/written", EVERY_SHAPE, written_by_write, "write(2) is seen in mappings" },
	{ "file/read", EVERY_SHAPE, read_by_read, "stores are seen by read(2)" },
	{ "file/fsync", SHARED_ALL, fsync_cold, "the first store after fsync faults" },
	{ "file/syncfs", SHARED_2M, syncfs_cold, "... after syncfs" },
	{ "file/sync-file-range", SHARED_2M | SHARED_4K, sync_range_cold,
	  "... after sync_file_range" },
	{ "file/msync", SHARED_2M, msync_cold, "... after msync by one of them" },
	{ "file/mtime", SHARED_ALL, mtime_follows, "a store after fsync moves the file's time" },
	{ "file/mtime-second", SHARED_ALL, mtime_second, "... also one by who had only loaded" },
	{ "file/asked-once", SHARED_2M | SHARED_4K, asked_once,
	  "a first store is one fault for the file system" },
	{ "file/freeze", SHARED_ALL, freeze, "no store gets into a frozen file system" },
	{ "file/last-user", EVERY_SHAPE, last_user, "the last mapping of a removed file" },
	{ "file/evicted", EVERY_SHAPE, evicted, "data survives the inode's eviction" },
	{ 0 },
};
