/* SPDX-License-Identifier: GPL-2.0 */
#include "window.h"

#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

/* Addresses that one page of PUDs serves, and one in a part that nothing else uses. */
#define PUD_PAGE_SPAN  (512 * GIB)
#define LONELY_ADDRESS 0x100000000000UL

/* Since 6.7: include/uapi/linux/fs.h, which may be older on a build host. */
#ifndef PAGEMAP_SCAN
struct page_region {
	uint64_t start, end, categories;
};

struct pm_scan_arg {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};

#define PAGEMAP_SCAN	_IOWR('f', 16, struct pm_scan_arg)
#define PAGE_IS_PRESENT (1 << 3)
#define PAGE_IS_PFNZERO (1 << 5)
#define PAGE_IS_HUGE	(1 << 6)
#endif

const struct option_choice window_entry_sizes[] = {
	{ "2M", HUGE_ENTRY },
	{ "4K", SMALL_ENTRY },
	{ 0 },
};

const struct option_choice window_places[] = {
	{ "near", WINDOW_NEAR },
	{ "lonely", WINDOW_LONELY },
	{ "kernel", WINDOW_KERNEL },
	{ 0 },
};

int window_open(const char *path, size_t length, bool write)
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

void *window_place(size_t length, enum window_place place)
{
	uintptr_t here = (uintptr_t)__builtin_frame_address(0);
	uintptr_t slot = LONELY_ADDRESS;

	if (place == WINDOW_KERNEL)
		return NULL;
	if (place == WINDOW_NEAR)
		slot = here / PUD_PAGE_SPAN * PUD_PAGE_SPAN;
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

struct window_entries window_entries(const void *at, size_t length)
{
	static struct page_region regions[256];
	struct window_entries found = { 0 };
	struct pm_scan_arg scan = {
		.size = sizeof(scan),
		.start = (uintptr_t)at,
		.end = (uintptr_t)at + length,
		.vec = (uintptr_t)regions,
		.vec_len = ARRAY_SIZE(regions),
		.category_mask = PAGE_IS_PRESENT,
		.return_mask = PAGE_IS_PRESENT | PAGE_IS_PFNZERO | PAGE_IS_HUGE,
	};
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		trial_fail("/proc/self/pagemap: %s", strerror(errno));
	while (scan.start < scan.end) {
		int count = ioctl(fd, PAGEMAP_SCAN, &scan);

		if (count < 0)
			trial_fail("ioctl(PAGEMAP_SCAN): %s", strerror(errno));
		for (int i = 0; i < count; i++) {
			bool huge = regions[i].categories & PAGE_IS_HUGE;
			size_t size = regions[i].end - regions[i].start;
			long entries = size / (huge ? HUGE_ENTRY : SMALL_ENTRY);

			*(huge ? &found.huge : &found.small) += entries;
			if (regions[i].categories & PAGE_IS_PFNZERO)
				found.zero += entries;
		}
		scan.start = scan.walk_end;
	}
	close(fd);
	return found;
}
