/* SPDX-License-Identifier: GPL-2.0 */
#include "scene.h"
#include "../lib/util.h"

#include <dirent.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#define FILE_PREFIX "semantics."

/* ---- Files ------------------------------------------------------------- */

void files_remove(void)
{
	DIR *directory = opendir(options.directory);
	struct dirent *entry;

	while (directory && (entry = readdir(directory)))
		if (!strncmp(entry->d_name, FILE_PREFIX, strlen(FILE_PREFIX)))
			unlinkat(dirfd(directory), entry->d_name, 0);
	if (directory)
		closedir(directory);
}

void file_system_thaw(void)
{
	int fd = open(options.directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0) {
		ioctl(fd, FITHAW, 0);
		close(fd);
	}
}

static struct file *file_new(uint64_t bytes)
{
	static struct file files[8];
	static int count;
	struct file *f = &files[count];

	require(count < 8, "too many files");
	*f = (struct file){ .id = ++count, .bytes = bytes };
	snprintf(f->path, sizeof(f->path), "%s/" FILE_PREFIX "%d", options.directory, count);
	f->fd = open(f->path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	require(f->fd >= 0, "cannot create %s: %s", f->path, strerror(errno));
	f->read_only_fd = open(f->path, O_RDONLY);
	require(f->read_only_fd >= 0, "cannot open %s: %s", f->path, strerror(errno));
	require(!ftruncate(f->fd, bytes), "ftruncate: %s", strerror(errno));
	return f;
}

struct file *file_sparse(uint64_t bytes)
{
	return file_new(bytes);
}

struct file *file_preallocated(uint64_t bytes)
{
	struct file *f = file_new(bytes);
	int error = 0;

	/* XFS frees the blocks of removed files in the background. */
	for (int i = 0; i < 100; i++) {
		error = fallocate(f->fd, 0, 0, bytes) ? errno : 0;
		if (error != ENOSPC)
			break;
		sync();
		pause_ms(50);
	}
	require(!error, "fallocate: %s", strerror(error));
	return f;
}

uint64_t stamp(const struct file *f, uint64_t offset)
{
	return 0x5EED000000000000ULL | f->id << 32 | offset / PAGE;
}

static const uint64_t stamped_pages[] = { 0, 1, 511 };
#define STAMPED_PAGES (sizeof(stamped_pages) / sizeof(*stamped_pages))

void file_fill(struct file *f, uint64_t unit)
{
	static char data[UNIT];
	bool sparse = shape.mixed && unit % 2;

	require(f->filled_count < MAX_FILLED, "too many filled units");
	f->filled[f->filled_count++] = unit;
	for (size_t i = 0; i < STAMPED_PAGES; i++) {
		uint64_t at = stamped_pages[i] * PAGE, word = stamp(f, unit * UNIT + at);

		memcpy(data + at, &word, sizeof(word));
		if (sparse)
			require(pwrite(f->fd, data + at, PAGE, unit * UNIT + at) == (ssize_t)PAGE,
				"pwrite: %s", strerror(errno));
	}
	if (!sparse)
		require(pwrite(f->fd, data, UNIT, unit * UNIT) == (ssize_t)UNIT, "pwrite: %s",
			strerror(errno));
}

struct file *file_standard(int gib)
{
	static const uint64_t units[] = { 0, 1, 511 };
	struct file *f = file_preallocated(gib * GIB);

	for (int g = 0; g < gib; g++)
		for (int i = 0; i < 3; i++)
			file_fill(f, g * (GIB / UNIT) + units[i]);
	return f;
}

uint64_t file_read_word(struct file *f, uint64_t offset)
{
	uint64_t word = 0;

	require(pread(f->fd, &word, sizeof(word), offset) == sizeof(word), "pread: %s",
		strerror(errno));
	return word;
}

void file_write_word(struct file *f, uint64_t offset, uint64_t value)
{
	require(pwrite(f->fd, &value, sizeof(value), offset) == sizeof(value), "pwrite: %s",
		strerror(errno));
}

/* ---- Mappings ---------------------------------------------------------- */

int shape_flag(void)
{
	/* Reserving memory for copies nobody makes would need as much RAM as is mapped. */
	return shape.private ? MAP_PRIVATE | MAP_NORESERVE : MAP_SHARED;
}

uint64_t map_at(struct worker *w, int fd, uint64_t address, uint64_t length, uint64_t offset,
		int protection, int flags)
{
	long got = call(w, SYS_mmap, address, length, protection, flags, fd, offset);

	require(got > 0, "%s cannot map: %s", w->name, strerror(-got));
	if (shape.small) {
		long error = call(w, SYS_madvise, got, length, MADV_NOHUGEPAGE);

		require(!error, "MADV_NOHUGEPAGE: %s", strerror(-error));
	}
	return got;
}

uint64_t map(struct worker *w, struct file *f, uint64_t offset, uint64_t length)
{
	return map_at(w, f->fd, HOME + offset, length, offset, PROT_READ | PROT_WRITE,
		      shape_flag() | MAP_FIXED_NOREPLACE);
}

/* ---- Expectations ------------------------------------------------------ */

#define HEX(number) ((unsigned long long)(number))

bool expect_value_(const char *file, int line, struct worker *w, uint64_t address, uint64_t value)
{
	struct touch got = worker_load(w, address);

	if (got.signal)
		return report_unless(false, file, line, "%s: signal %d on a load from 0x%llx",
				     w->name, got.signal, HEX(address));
	return report_unless(got.value == value, file, line, "%s: 0x%llx holds 0x%llx, not 0x%llx",
			     w->name, HEX(address), HEX(got.value), HEX(value));
}

bool expect_store_(const char *file, int line, struct worker *w, uint64_t address, uint64_t value)
{
	struct touch got = worker_store(w, address, value);

	if (got.signal)
		return report_unless(false, file, line, "%s: signal %d on a store to 0x%llx",
				     w->name, got.signal, HEX(address));
	return expect_value_(file, line, w, address, value);
}

bool expect_signal_(const char *file, int line, struct worker *w, uint64_t address, int signal,
		    bool store)
{
	struct touch got = store ? worker_store(w, address, 0xBAD) : worker_load(w, address);
	const char *what = store ? "store to" : "load from";

	if (!got.signal)
		return report_unless(false, file, line, "%s: a %s 0x%llx succeeds (0x%llx)",
				     w->name, what, HEX(address), HEX(got.value));
	return report_unless(got.signal == signal && got.address == address, file, line,
			     "%s: signal %d at 0x%llx for a %s 0x%llx, not %d", w->name, got.signal,
			     HEX(got.address), what, HEX(address), signal);
}

void expect_contents_(const char *file, int line, struct worker *w, struct file *f,
		      uint64_t address, uint64_t offset, uint64_t length)
{
	for (int i = 0; i < f->filled_count; i++) {
		for (size_t p = 0; p < STAMPED_PAGES; p++) {
			uint64_t at = f->filled[i] * UNIT + stamped_pages[p] * PAGE;

			if (at >= offset && at < offset + length)
				expect_value_(file, line, w, address + at - offset, stamp(f, at));
		}
	}
}

void expect_contents_at_hand_(const char *file, int line, struct worker *w, struct file *f,
			      uint64_t address, uint64_t offset, uint64_t length)
{
	long before = faults_of(w->pid), after;

	expect_contents_(file, line, w, f, address, offset, length);
	after = faults_of(w->pid);
	report_unless(after == before, file, line, "%s: %ld faults where none is due", w->name,
		      after - before);
}

void expect_zeros_(const char *file, int line, struct worker *w, uint64_t address, uint64_t length)
{
	struct touch got = worker_find_other(w, address, length, 0);

	report_unless(!got.signal && got.value == ALL_THE_SAME, file, line,
		      "%s: signal %d or data instead of zeros at 0x%llx + 0x%llx", w->name,
		      got.signal, HEX(address), HEX(got.value));
}

long expect_call_(const char *file, int line, struct worker *w, long expected, const char *name,
		  long number, const uint64_t arguments[6])
{
	long got = worker_call(w, number, arguments);

	report_unless(got == expected, file, line, "%s: %s returns %ld (%s), not %ld", w->name,
		      name, got, got < 0 ? strerror(-got) : "no error", expected);
	return got;
}

void expect_file_word_(const char *file, int line, struct file *f, uint64_t offset, uint64_t value)
{
	uint64_t got = file_read_word(f, offset);

	report_unless(got == value, file, line, "the file holds 0x%llx at 0x%llx, not 0x%llx",
		      HEX(got), HEX(offset), HEX(value));
}

static struct tables mark;

void tables_mark(void)
{
	mark = tables_now();
}

void expect_tables_(const char *file, int line, long created, long attached)
{
	struct tables now = tables_now();

	if (!sharing_known())
		return;
	if (!sharing_on())
		created = attached = 0;
	report_unless(now.create - mark.create == created, file, line,
		      "%ld shared tables created, not %ld", now.create - mark.create, created);
	report_unless(now.attach - mark.attach == attached, file, line,
		      "%ld PUD entries attached, not %ld", now.attach - mark.attach, attached);
	mark = now;
}

void expect_detached_(const char *file, int line, long count)
{
	long got = tables_now().detach - mark.detach;

	if (sharing_on())
		report_unless(got == count, file, line, "%ld PUD entries detached, not %ld", got,
			      count);
}

void expect_freed_(const char *file, int line, long count)
{
	long got = tables_now().free - mark.free;

	if (sharing_on())
		report_unless(got == count, file, line, "%ld shared tables freed, not %ld", got,
			      count);
}

/* ---- Before the first case --------------------------------------------- */

/* One load from a 2 MiB extent must take one fault and map all of it. */
static const char *probe(void)
{
	static char problem[200];
	struct file *f;
	volatile uint64_t *at;
	long before, after;

	shape = (struct shape){ SHARED_2M, "probe", false, false, false };
	f = file_preallocated(2 * UNIT);
	file_fill(f, 1);
	at = mmap((void *)HOME, 2 * UNIT, PROT_READ, MAP_SHARED | MAP_FIXED_NOREPLACE, f->fd, 0);
	if (at == MAP_FAILED)
		return "a probe file cannot be mapped";
	before = faults_of(getpid());
	before = faults_of(getpid());
	for (uint64_t i = 0; i < UNIT; i += PAGE)
		(void)at[(UNIT + i) / 8];
	after = faults_of(getpid());
	munmap((void *)at, 2 * UNIT);
	close(f->fd);
	close(f->read_only_fd);
	files_remove();
	if (after - before == 1)
		return NULL;
	snprintf(problem, sizeof(problem), "2 MiB of a file in %s take %ld faults and not one",
		 options.directory, after - before);
	return problem;
}

const char *scene_problem(void)
{
	static char problem[200];
	struct statx about;

	if (statx(AT_FDCWD, options.directory, 0, STATX_BASIC_STATS, &about)) {
		snprintf(problem, sizeof(problem), "%s: %s", options.directory, strerror(errno));
		return problem;
	}
	if (!(about.stx_attributes & STATX_ATTR_DAX)) {
		struct file *f = file_new(UNIT);
		bool dax = !statx(f->fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &about) &&
			   about.stx_attributes & STATX_ATTR_DAX;

		files_remove();
		if (!dax) {
			snprintf(problem, sizeof(problem), "files in %s are not mapped with DAX",
				 options.directory);
			return problem;
		}
	}
	files_remove();
	return probe();
}
