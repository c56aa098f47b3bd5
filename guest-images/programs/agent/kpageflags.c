/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The built-in source "kpageflags": how many pages of RAM carry each flag of /proc/kpageflags.
 *
 * It counts page-table pages without help from the counters it is used to audit. Only the ranges
 * that /proc/iomem calls System RAM are read: the file has an entry for every frame number up to
 * the end of the NVDIMM, and those of device memory say nothing (KPF_NOPAGE).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"

#define PAGE_BITS 12

/* Bit numbers: include/uapi/linux/kernel-page-flags.h. */
static const struct {
	const char *name;
	int bit;
} flags[] = {
	{ "locked", 0 },	 { "error", 1 },	  { "referenced", 2 },
	{ "uptodate", 3 },	 { "dirty", 4 },	  { "lru", 5 },
	{ "active", 6 },	 { "slab", 7 },		  { "writeback", 8 },
	{ "reclaim", 9 },	 { "buddy", 10 },	  { "mmap", 11 },
	{ "anon", 12 },		 { "swapcache", 13 },	  { "swapbacked", 14 },
	{ "compound_head", 15 }, { "compound_tail", 16 }, { "huge", 17 },
	{ "unevictable", 18 },	 { "hwpoison", 19 },	  { "nopage", 20 },
	{ "ksm", 21 },		 { "thp", 22 },		  { "offline", 23 },
	{ "zero_page", 24 },	 { "idle", 25 },	  { "pgtable", 26 },
};

static uint64_t total;
static uint64_t counts[64];
static uint64_t entries[32768];

/* Neighbouring pages mostly have equal flags: take runs apart, not pages. */
static void count_entries(size_t number)
{
	for (size_t i = 0, next; i < number; i = next) {
		uint64_t word = entries[i];

		for (next = i + 1; next < number && entries[next] == word; next++)
			;
		for (uint64_t rest = word; rest; rest &= rest - 1)
			counts[__builtin_ctzll(rest)] += next - i;
		total += next - i;
	}
}

static int count_range(int fd, uint64_t first, uint64_t end)
{
	while (first < end) {
		size_t wanted = (end - first) * sizeof(entries[0]);
		ssize_t got;

		if (wanted > sizeof(entries))
			wanted = sizeof(entries);
		got = pread(fd, entries, wanted, first * sizeof(entries[0]));
		if (got < 0)
			return -errno;
		if (!got)
			return 0;
		count_entries(got / sizeof(entries[0]));
		first += got / sizeof(entries[0]);
	}
	return 0;
}

static int count_ram(int fd)
{
	FILE *map = fopen("/proc/iomem", "re");
	char line[256];
	int error = 0;

	if (!map)
		return -errno;
	while (!error && fgets(line, sizeof(line), map)) {
		unsigned long long first, last;

		/* Only top-level lines are System RAM; what lies inside one is indented. */
		if (line[0] == ' ' || !strstr(line, " : System RAM"))
			continue;
		if (sscanf(line, "%llx-%llx", &first, &last) != 2)
			continue;
		error = count_range(fd, first >> PAGE_BITS, (last + 1) >> PAGE_BITS);
	}
	fclose(map);
	return error;
}

/* Write the histogram as lines "NAME COUNT"; returns its length, or a negative error number. */
ssize_t read_kpageflags(char *into, size_t size)
{
	int fd = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
	size_t used;
	int error;

	if (fd < 0)
		return -errno;
	total = 0;
	memset(counts, 0, sizeof(counts));
	error = count_ram(fd);
	close(fd);
	if (error)
		return error;
	/* Without CAP_SYS_ADMIN /proc/iomem shows no addresses, and the sum would be a lie. */
	if (total <= 1)
		return -EPERM;

	used = snprintf(into, size, "total %llu\n", (unsigned long long)total);
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]) && used < size; i++)
		used += snprintf(into + used, size - used, "%s %llu\n", flags[i].name,
				 (unsigned long long)counts[flags[i].bit]);
	return used < size ? (ssize_t)used : -ENOSPC;
}
