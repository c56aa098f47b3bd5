/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A device that walks page tables of its own, filled from those of a process
 * and emptied when MMU notifiers say so: the kernel's test_hmm driver
 * (CONFIG_TEST_HMM), which the debug variant has.
 */
#include "cases.h"
#include "scene.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/ioctl.h>
#include <linux/types.h>
#include <stdio.h>
#include <string.h>

#define DEVICE "/dev/hmm_dmirror%d"

/* What lib/test_hmm_uapi.h of the kernel calls struct hmm_dmirror_cmd. */
struct mirror_command {
	__u64 address, buffer, pages, done, faults;
};
#define MIRROR_READ  _IOWR('H', 0x00, struct mirror_command)
#define MIRROR_WRITE _IOWR('H', 0x01, struct mirror_command)

static struct file *f;
static struct worker *a, *b;
static long device_of_a, device_of_b;

static long open_mirror(struct worker *w, int number)
{
	char *path = worker_scratch(w);
	long fd;

	snprintf(path, SCRATCH_BYTES, DEVICE, number);
	fd = call(w, SYS_open, ADDRESS_OF(path), O_RDWR);
	if (fd < 0)
		skip_case("no device that follows page tables (CONFIG_TEST_HMM)");
	return fd;
}

/* A page that is the worker's own, for what the device reads and writes. */
static uint64_t buffer_of(struct worker *w)
{
	static struct worker *known[MAX_WORKERS];
	static uint64_t buffers[MAX_WORKERS];

	if (known[w->slot] != w) {
		long got = call(w, SYS_mmap, 0, PAGE, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		require(got > 0, "no buffer");
		known[w->slot] = w;
		buffers[w->slot] = got;
	}
	return buffers[w->slot];
}

/* The device's access to one page; returns 0 or -errno, and how often it had to fault. */
static long device_access(struct worker *w, long fd, unsigned long what, uint64_t address,
			  uint64_t *word, long *faults)
{
	struct mirror_command *command = worker_scratch(w);
	uint64_t buffer = buffer_of(w);
	long error;

	if (what == MIRROR_WRITE)
		worker_store(w, buffer, *word);
	*command = (struct mirror_command){ address, buffer, 1, 0, 0 };
	error = call(w, SYS_ioctl, fd, what, ADDRESS_OF(command));
	*faults = command->faults;
	if (!error && what == MIRROR_READ)
		*word = worker_load(w, buffer).value;
	return error;
}

static long expect_device_reads(struct worker *w, long fd, uint64_t address, uint64_t value)
{
	uint64_t word = 0;
	long faults, error = device_access(w, fd, MIRROR_READ, address, &word, &faults);

	expect(!error && word == value, "%s's device: error %ld, %#llx and not %#llx", w->name,
	       error, (unsigned long long)word, (unsigned long long)value);
	return faults;
}

static void expect_device_is_refused(struct worker *w, long fd, uint64_t address)
{
	uint64_t word = 0;
	long faults, error = device_access(w, fd, MIRROR_READ, address, &word, &faults);

	expect(error < 0, "%s's device reads %#llx where it may not", w->name,
	       (unsigned long long)word);
}

static void mappers(void)
{
	f = file_standard(2);
	a = worker_start("A");
	b = worker_start("B");
	device_of_a = open_mirror(a, 0);
	device_of_b = open_mirror(b, 1);
	map(a, f, 0, 2 * GIB);
	map(b, f, 0, 2 * GIB);
	tables_mark();
	expect_contents(a, f, HOME, 0, 2 * GIB);
	expect_contents(b, f, HOME, 0, 2 * GIB);
	expect_tables(2, 4);
	for (int i = 0; i < f->filled_count; i++) {
		uint64_t at = f->filled[i] * UNIT;

		expect_device_reads(a, device_of_a, HOME + at, stamp(f, at));
		expect_device_reads(b, device_of_b, HOME + at, stamp(f, at));
	}
	/* What it has seen it does not ask for again: so the cases below say something. */
	expect(!expect_device_reads(a, device_of_a, HOME + UNIT, stamp(f, UNIT)),
	       "the device remembers nothing");
}

static void stores_meet(void)
{
	uint64_t word = 0xD;
	long faults;

	mappers();
	expect(!device_access(a, device_of_a, MIRROR_WRITE, HOME + UNIT, &word, &faults),
	       "the device cannot write");
	expect_value(a, HOME + UNIT, 0xD);
	expect_value(b, HOME + UNIT, shape.private ? stamp(f, UNIT) : 0xD);
	expect_device_reads(b, device_of_b, HOME + UNIT, shape.private ? stamp(f, UNIT) : 0xD);
	expect_store(b, HOME + UNIT, 0xB);
	expect_device_reads(a, device_of_a, HOME + UNIT, shape.private ? 0xD : 0xB);
	expect_device_reads(b, device_of_b, HOME + UNIT, 0xB);
}

static void protect(void)
{
	mappers();
	expect_call(a, 0, SYS_mprotect, HOME, 2 * GIB, PROT_NONE);
	expect_device_is_refused(a, device_of_a, HOME + UNIT);
	expect_device_is_refused(a, device_of_a, HOME + GIB);
	expect_device_reads(b, device_of_b, HOME + UNIT, stamp(f, UNIT));
	expect_call(a, 0, SYS_mprotect, HOME, 2 * GIB, PROT_READ);
	expect_device_reads(a, device_of_a, HOME + UNIT, stamp(f, UNIT));
}

static void protect_unit(void)
{
	mappers();
	expect_call(a, 0, SYS_mprotect, HOME + UNIT, UNIT, PROT_NONE);
	expect_device_is_refused(a, device_of_a, HOME + UNIT);
	expect_device_reads(a, device_of_a, HOME, stamp(f, 0));
	expect_device_reads(b, device_of_b, HOME + UNIT, stamp(f, UNIT));
}

static void unmap(void)
{
	mappers();
	expect_call(a, 0, SYS_munmap, HOME + UNIT, GIB);
	expect_device_is_refused(a, device_of_a, HOME + UNIT);
	expect_device_is_refused(a, device_of_a, HOME + GIB);
	expect_device_reads(a, device_of_a, HOME + GIB + UNIT, stamp(f, GIB + UNIT));
	expect_device_reads(b, device_of_b, HOME + UNIT, stamp(f, UNIT));
}

static void remap(void)
{
	mappers();
	expect_call(a, ELSEWHERE, SYS_mremap, HOME, 2 * GIB, 2 * GIB, MREMAP_MAYMOVE | MREMAP_FIXED,
		    ELSEWHERE);
	expect_device_is_refused(a, device_of_a, HOME + UNIT);
	expect_device_reads(a, device_of_a, ELSEWHERE + UNIT, stamp(f, UNIT));
	expect_device_reads(b, device_of_b, HOME + UNIT, stamp(f, UNIT));
}

static void truncate_down(void)
{
	mappers();
	require(!ftruncate(f->fd, GIB), "ftruncate");
	expect_device_is_refused(a, device_of_a, HOME + GIB);
	expect_device_is_refused(b, device_of_b, HOME + GIB);
	expect_device_reads(a, device_of_a, HOME, stamp(f, 0));
	expect_device_reads(b, device_of_b, HOME, stamp(f, 0));
}

/* A hole of a page: the 2 MiB entry it is in goes as a whole, for devices as well. */
static void punch_page(void)
{
	mappers();
	require(!fallocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, UNIT + PAGE, PAGE),
		"punch: %s", strerror(errno));
	for (int i = 0; i < 2; i++) {
		struct worker *w = i ? b : a;
		long fd = i ? device_of_b : device_of_a, faults;

		expect_device_reads(w, fd, HOME + UNIT + PAGE, 0);
		faults = expect_device_reads(w, fd, HOME + UNIT, stamp(f, UNIT));
		if (!shape.small)
			expect(faults, "%s's device still has the 2 MiB around the hole", w->name);
	}
}

/*
 * A write to a page of a hole takes the whole huge zero page away. A store next to it then has
 * nothing left to take away: devices must have been notified of all of it.
 */
static void hole_written(void)
{
	f = file_sparse(GIB);
	a = worker_start("A");
	b = worker_start("B");
	device_of_a = open_mirror(a, 0);
	device_of_b = open_mirror(b, 1);
	for (int i = 0; i < 2; i++) {
		struct worker *w = i ? b : a;

		map(w, f, 0, GIB);
		expect_zeros(w, HOME, UNIT);
		expect_device_reads(w, i ? device_of_b : device_of_a, HOME, 0);
	}
	file_write_word(f, PAGE, 0xF);
	expect_store(a, HOME, 0xA);
	expect_device_reads(a, device_of_a, HOME, 0xA);
	expect_device_reads(b, device_of_b, HOME, 0xA);
	expect_device_reads(b, device_of_b, HOME + PAGE, 0xF);
}

/* The process copies a page: its device must read the copy. */
static void copied(void)
{
	mappers();
	expect_store(a, HOME + UNIT, 0xA);
	expect_device_reads(a, device_of_a, HOME + UNIT, 0xA);
	expect_device_reads(b, device_of_b, HOME + UNIT, stamp(f, UNIT));
	/* Nothing that was not copied is lost. */
	expect_device_reads(a, device_of_a, HOME, stamp(f, 0));
	expect_device_reads(a, device_of_a, HOME + GIB, stamp(f, GIB));
}

/* The copy is made where the table of the process has gone with a part of the gigabyte. */
static void copied_beside_a_gap(void)
{
	mappers();
	expect_call(a, 0, SYS_munmap, HOME + 2 * UNIT, UNIT);
	expect_store(a, HOME + UNIT, 0xA);
	expect_device_reads(a, device_of_a, HOME + UNIT, 0xA);
	expect_device_reads(b, device_of_b, HOME + UNIT, stamp(f, UNIT));
}

/* A debugger has it copied, which goes another way through the kernel. */
static void copied_by_another(void)
{
	uint64_t word = 0xA;
	char path[64];
	int fd;

	/* See gup.c for what a page that is present 4 KiB-wise does. */
	mappers();
	snprintf(path, sizeof(path), "/proc/%d/mem", a->pid);
	fd = open(path, O_RDWR);
	require(fd >= 0 && pwrite(fd, &word, 8, HOME + UNIT) == 8, "%s: %s", path, strerror(errno));
	expect_device_reads(a, device_of_a, HOME + UNIT, 0xA);
	expect_device_reads(b, device_of_b, HOME + UNIT, stamp(f, UNIT));
}

const struct semantic_case mirror_cases[] = {
	{ "mirror/stores-meet", EVERY_SHAPE, stores_meet, "devices and processes see each other" },
	{ "mirror/protect", EVERY_SHAPE, protect, "PROT_NONE holds for the device" },
	{ "mirror/protect-unit", EVERY_SHAPE, protect_unit, "... of 2 MiB" },
	{ "mirror/unmap", EVERY_SHAPE, unmap, "munmap holds for the device" },
	{ "mirror/remap", EVERY_SHAPE, remap, "mremap takes the device along" },
	{ "mirror/truncate", EVERY_SHAPE, truncate_down, "the file's end holds for devices" },
	{ "mirror/punch-page", EVERY_SHAPE, punch_page, "a hole of 4 KiB in a 2 MiB entry" },
	{ "mirror/hole-written", SHARED_2M, hole_written, "no device keeps the huge zero page" },
	{ "mirror/copied", PRIVATE_ALL, copied, "the device of a process reads its copies" },
	{ "mirror/copied-beside-a-gap", PRIVATE_ALL, copied_beside_a_gap,
	  "... made after a part was unmapped" },
	{ "mirror/copied-by-another", PRIVATE_2M, copied_by_another, "... made by a debugger" },
	{ 0 },
};
