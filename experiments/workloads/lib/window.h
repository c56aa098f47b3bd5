/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A window onto a file: where it is mapped, by entries of which size, and whether it really is.
 *
 * Page tables on x86-64, per process, for one GiB mapped at a multiple of 1 GiB and touched once
 * per 2 MiB: one page of PMDs; with 4 KiB entries also 512 pages of PTEs. Above them hangs one
 * page of PUDs per 512 GiB of addresses, and whether the mapping pays for that depends on its
 * neighbours:
 *
 *	WINDOW_NEAR	in the 512 GiB in which the stack lies: its page of PUDs is there already, so
 *			the cost is exactly 1 or 513 pages per GiB and nothing else
 *	WINDOW_LONELY	far from everything: one page of PUDs more per process
 *	WINDOW_KERNEL	where the kernel likes to put it; perhaps not at a multiple of 1 GiB
 *
 * With five levels the page of P4Ds above is shared with the stack in every case.
 */
#ifndef WINDOW_H
#define WINDOW_H

#include <fcntl.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "trial.h"

#define KIB (1UL << 10)
#define MIB (1UL << 20)
#define GIB (1UL << 30)

#define SMALL_ENTRY (4 * KIB)
#define HUGE_ENTRY (2 * MIB)

/* Addresses that one page of PUDs serves, and one in a part that nothing else uses. */
#define PUD_PAGE_SPAN (512 * GIB)
#define LONELY_ADDRESS 0x100000000000UL

enum window_place { WINDOW_NEAR, WINDOW_LONELY, WINDOW_KERNEL };

/*
 * ioctl(PAGEMAP_SCAN) since 6.7: include/uapi/linux/fs.h, which may be older on a build host.
 */
struct window_scan {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};

struct window_region {
	uint64_t start, end, categories;
};

#define WINDOW_SCAN _IOWR('f', 16, struct window_scan)
#define WINDOW_PRESENT (1 << 3)
#define WINDOW_ZERO (1 << 5)
#define WINDOW_HUGE (1 << 6)

/* Entries found present in a range; `zero` are those among them that map the zero page. */
struct window_entries {
	long small, huge, zero;
};

/* "2M" or "4K". */
static inline size_t window_parse_entry(const char *text)
{
	if (!strcmp(text, "2M"))
		return HUGE_ENTRY;
	if (!strcmp(text, "4K"))
		return SMALL_ENTRY;
	trial_fail("--entry %s: it is 2M or 4K", text);
}

static inline enum window_place window_parse_place(const char *text)
{
	static const char *const names[] = { "near", "lonely", "kernel" };

	for (int i = 0; i < 3; i++)
		if (!strcmp(text, names[i]))
			return i;
	trial_fail("--place %s: it is near, lonely or kernel", text);
}

/* A positive number, in units of 1, K, M or G, up to `most`. */
static inline size_t window_parse_number(const char *option, const char *text, size_t most)
{
	char *end;
	unsigned long long number;

	errno = 0;
	number = strtoull(text, &end, 10);
	if (end != text && *end && !end[1]) {
		const char *units = "KMG", *unit = strchr(units, *end);

		if (unit && number <= most) {
			number <<= 10 * (unit - units + 1);
			end++;
		}
	}
	if (errno || end == text || *end || *text == '-' || !number || number > most)
		trial_fail("--%s %s: it is a number from 1 to %zu", option, text, most);
	return number;
}

/* Open a file that must hold at least `length` bytes. */
static inline int window_open(const char *path, size_t length, bool write)
{
	int fd = open(path, (write ? O_RDWR : O_RDONLY) | O_CLOEXEC);
	struct stat file;

	if (fd < 0 || fstat(fd, &file))
		trial_fail("%s: %s", path, strerror(errno));
	if ((size_t)file.st_size < length)
		trial_fail("%s holds %lld MiB; %zu are needed", path,
			   (long long)file.st_size / (long long)MIB, length / MIB);
	return fd;
}

/*
 * An address where `length` bytes can be mapped in this process and in children it forks, or NULL
 * to let the kernel choose.
 */
static inline void *window_place(size_t length, enum window_place place)
{
	uintptr_t here = (uintptr_t)__builtin_frame_address(0);
	uintptr_t slot = place == WINDOW_NEAR ? here / PUD_PAGE_SPAN * PUD_PAGE_SPAN :
						LONELY_ADDRESS;

	if (place == WINDOW_KERNEL)
		return NULL;
	for (uintptr_t at = slot; at + length <= slot + PUD_PAGE_SPAN; at += GIB) {
		/* Mapped, to see that it is free; not accessible, so that no table is made. */
		void *got = mmap((void *)at, length, PROT_NONE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE,
				 -1, 0);

		if (got == MAP_FAILED)
			continue;
		munmap(got, length);
		return got;
	}
	trial_fail("no room for %zu GiB within 512 GiB of addresses", length / GIB);
}

/*
 * Map a file range for entries of the given size; `sharing` is MAP_SHARED or MAP_PRIVATE. Private
 * mappings reserve no memory for copies of every page: at most a few are ever written.
 */
static inline void *window_map(void *at, size_t length, int fd, off_t offset, int protection,
			       int sharing, size_t entry)
{
	int flags = sharing | MAP_NORESERVE | (at ? MAP_FIXED_NOREPLACE : 0);
	void *got = mmap(at, length, protection, flags, fd, offset);

	if (got == MAP_FAILED)
		trial_fail("mmap of %zu MiB: %s", length / MIB, strerror(errno));
	if (entry == SMALL_ENTRY && madvise(got, length, MADV_NOHUGEPAGE))
		trial_fail("madvise(MADV_NOHUGEPAGE): %s", strerror(errno));
	return got;
}

/* Access one byte per `step`. */
static inline void window_touch(void *at, size_t length, size_t step, bool write)
{
	volatile char *bytes = at;

	for (size_t offset = 0; offset < length; offset += step) {
		if (write)
			bytes[offset] = 1;
		else
			(void)bytes[offset];
	}
}

/* Count the entries that this process has in a range, through its own page tables. */
static inline struct window_entries window_entries(const void *at, size_t length)
{
	static struct window_region regions[256];
	struct window_entries found = { 0, 0, 0 };
	struct window_scan scan = {
		.size = sizeof(scan),
		.start = (uintptr_t)at,
		.end = (uintptr_t)at + length,
		.vec = (uintptr_t)regions,
		.vec_len = sizeof(regions) / sizeof(regions[0]),
		.category_mask = WINDOW_PRESENT,
		.return_mask = WINDOW_PRESENT | WINDOW_ZERO | WINDOW_HUGE,
	};
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		trial_fail("/proc/self/pagemap: %s", strerror(errno));
	while (scan.start < scan.end) {
		int count = ioctl(fd, WINDOW_SCAN, &scan);

		if (count < 0)
			trial_fail("ioctl(PAGEMAP_SCAN): %s", strerror(errno));
		for (int i = 0; i < count; i++) {
			bool huge = regions[i].categories & WINDOW_HUGE;
			size_t size = regions[i].end - regions[i].start;
			long entries = size / (huge ? HUGE_ENTRY : SMALL_ENTRY);

			*(huge ? &found.huge : &found.small) += entries;
			if (regions[i].categories & WINDOW_ZERO)
				found.zero += entries;
		}
		scan.start = scan.walk_end;
	}
	close(fd);
	return found;
}

#endif
