/* SPDX-License-Identifier: GPL-2.0 */
#include "observe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

/* include/uapi/linux/kernel-page-flags.h */
#define KPF_ZERO_PAGE 24
#define KPF_PGTABLE   26
#define PAGE	      4096ULL
#define SWITCH	      "/proc/sys/vm/dax_share_page_tables"

const char *read_text(const char *path)
{
	static char text[1 << 16];
	size_t used = 0;
	ssize_t got;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return NULL;
	while (used < sizeof(text) - 1) {
		got = read(fd, text + used, sizeof(text) - 1 - used);
		if (got <= 0)
			break;
		used += got;
	}
	close(fd);
	text[used] = '\0';
	return text;
}

int write_text(const char *path, const char *text)
{
	ssize_t length = strlen(text), done;
	int fd = open(path, O_WRONLY | O_CLOEXEC), error = 0;

	if (fd < 0)
		return -errno;
	done = write(fd, text, length);
	if (done != length)
		error = done < 0 ? -errno : -EIO;
	close(fd);
	return error;
}

static const char *line_value(const char *text, const char *label)
{
	size_t length = strlen(label);

	while (text && *text) {
		if (!strncmp(text, label, length))
			return text + length;
		text = strchr(text, '\n');
		if (text)
			text++;
	}
	return NULL;
}

long number_after(const char *path, const char *label)
{
	const char *value = line_value(read_text(path), label);

	return value ? strtol(value, NULL, 10) : -1;
}

bool sharing_known(void)
{
	return !access(SWITCH, F_OK);
}

bool sharing_on(void)
{
	return sharing_known() && number_after(SWITCH, "") == 1;
}

static long counter(const char *text, const char *label)
{
	const char *value = line_value(text, label);

	return value ? strtol(value, NULL, 10) : 0;
}

struct tables tables_now(void)
{
	const char *text = read_text("/proc/vmstat");

	return (struct tables){
		.create = counter(text, "dax_pt_share_create "),
		.attach = counter(text, "dax_pt_share_attach "),
		.detach = counter(text, "dax_pt_share_detach "),
		.free = counter(text, "dax_pt_share_free "),
	};
}

#define SLAB "/sys/kernel/slab/dax_pt/"

long table_objects_now(void)
{
	if (number_after(SLAB "aliases", ""))
		return -1;
	/* Has batches of kfree_rcu() go on, and empties per-CPU slabs and KASAN's quarantine. */
	write_text("/proc/sys/vm/drop_caches", "2");
	write_text(SLAB "shrink", "1");
	return number_after(SLAB "objects", "");
}

/* Page tables live in System RAM only: device memory is not scanned. */
static long count_flagged(uint64_t first, uint64_t last, int fd)
{
	static uint64_t flags[8192];
	long count = 0;

	for (uint64_t pfn = first; pfn < last;) {
		size_t want = last - pfn < 8192 ? last - pfn : 8192;
		ssize_t got = pread(fd, flags, want * 8, pfn * 8);

		if (got < 8)
			return -1;
		for (ssize_t i = 0; i < got / 8; i++)
			count += flags[i] >> KPF_PGTABLE & 1;
		pfn += got / 8;
	}
	return count;
}

static long flagged_pages(void)
{
	int fd = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
	const char *line = read_text("/proc/iomem");
	long count = 0;

	if (fd < 0)
		return -1;
	while (line && *line && count >= 0) {
		unsigned long long start, end;
		const char *next = strchr(line, '\n');
		const char *ram = strstr(line, ": System RAM");

		if (*line != ' ' && ram && (!next || ram < next) &&
		    sscanf(line, "%llx-%llx", &start, &end) == 2) {
			long more = count_flagged((start + PAGE - 1) / PAGE, (end + 1) / PAGE, fd);

			count = more < 0 ? -1 : count + more;
		}
		line = next ? next + 1 : NULL;
	}
	close(fd);
	return count;
}

struct page_tables page_tables_now(bool flags)
{
	struct page_tables now;

	write_text("/proc/sys/vm/stat_refresh", "1");
	now.meminfo_kb = number_after("/proc/meminfo", "PageTables:");
	now.flagged_pages = flags ? flagged_pages() : -1;
	return now;
}

uint64_t pagemap_entry(pid_t pid, uint64_t address)
{
	char path[64];
	uint64_t entry = 0;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/pagemap", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	if (pread(fd, &entry, 8, address / PAGE * 8) != 8)
		entry = 0;
	close(fd);
	return entry;
}

bool is_zero_page(uint64_t pfn)
{
	uint64_t flags = 0;
	int fd = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	if (pread(fd, &flags, 8, pfn * 8) != 8)
		flags = 0;
	close(fd);
	return flags >> KPF_ZERO_PAGE & 1;
}

long faults_of(pid_t pid)
{
	char path[64];
	const char *text;
	long minor, major;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	text = read_text(path);
	text = text ? strrchr(text, ')') : NULL;
	/* After "(comm)": state, six fields, flags, minflt, cminflt, majflt. */
	if (!text ||
	    sscanf(text + 1, " %*c %*d %*d %*d %*d %*d %*u %ld %*u %ld", &minor, &major) != 2)
		return -1;
	return minor + major;
}

/* The smaps paragraph of the vma that holds @address. */
static const char *smaps_of(pid_t pid, uint64_t address)
{
	char path[64];
	const char *line;

	snprintf(path, sizeof(path), "/proc/%d/smaps", pid);
	line = read_text(path);
	while (line && *line) {
		unsigned long long start, end;
		const char *next = strchr(line, '\n');

		if (sscanf(line, "%llx-%llx ", &start, &end) == 2 && address >= start &&
		    address < end)
			return next ? next + 1 : NULL;
		line = next ? next + 1 : NULL;
	}
	return NULL;
}

long smaps_kb(pid_t pid, uint64_t address, const char *field)
{
	const char *value = line_value(smaps_of(pid, address), field);

	return value ? strtol(value, NULL, 10) : -1;
}

bool smaps_flag(pid_t pid, uint64_t address, const char *two_letters)
{
	const char *value = line_value(smaps_of(pid, address), "VmFlags:");
	const char *end = value ? strchr(value, '\n') : NULL;

	for (; value && end && value + 3 <= end; value += 3)
		if (!strncmp(value + 1, two_letters, 2))
			return true;
	return false;
}

#define TRACING "/sys/kernel/tracing/"

bool trace_begin(const char *event)
{
	char path[256];
	int fd;

	if (access(TRACING "trace", F_OK))
		mount("tracefs", TRACING, "tracefs", 0, NULL);
	fd = open(TRACING "trace", O_WRONLY | O_TRUNC | O_CLOEXEC); /* empties the buffer */
	if (fd < 0)
		return false;
	close(fd);
	snprintf(path, sizeof(path), TRACING "events/%s/enable", event);
	return !write_text(path, "1") && !write_text(TRACING "tracing_on", "1");
}

const char *trace_end(void)
{
	write_text(TRACING "tracing_on", "0");
	write_text(TRACING "events/enable", "0");
	return read_text(TRACING "trace");
}

int lines_with(const char *text, const char *const words[])
{
	int count = 0;

	while (text && *text) {
		size_t length = strcspn(text, "\n");
		bool all = true;

		for (int i = 0; words[i] && all; i++)
			all = memmem(text, length, words[i], strlen(words[i]));
		count += all;
		text += length + (text[length] == '\n');
	}
	return count;
}
