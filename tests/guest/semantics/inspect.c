/* SPDX-License-Identifier: GPL-2.0 */
/* What /proc says about mappings that share, and the bits it can clear in them. */
#include "cases.h"
#include "scene.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static struct file *f;
static struct worker *a, *b;

static void mappers(void)
{
	f = file_standard(2);
	a = worker_start("A");
	b = worker_start("B");
	map(a, f, 0, 2 * GIB);
	map(b, f, 0, 2 * GIB);
	tables_mark();
	expect_contents(a, f, HOME, 0, 2 * GIB);
	expect_contents(b, f, HOME, 0, 2 * GIB);
	expect_tables(2, 4);
}

static void meet(uint64_t at, uint64_t word)
{
	struct touch before = worker_load(a, HOME + at);

	expect_store(b, HOME + at, word);
	expect_value(a, HOME + at, shape.private ? before.value : word);
}

static bool present(struct worker *w, uint64_t offset)
{
	return pagemap_entry(w->pid, HOME + offset) & PM_PRESENT;
}

/* pagemap: what is there is there for both, in one frame; what nobody touched is not. */
static void pagemap(void)
{
	mappers();
	for (int i = 0; i < f->filled_count; i++) {
		uint64_t at = f->filled[i] * UNIT;
		uint64_t one = pagemap_entry(a->pid, HOME + at);
		uint64_t two = pagemap_entry(b->pid, HOME + at);

		expect((one & PM_PRESENT) && PM_PFN(one) && PM_PFN(one) == PM_PFN(two),
		       "entries %llx and %llx", (unsigned long long)one, (unsigned long long)two);
	}
	expect(!present(a, 4 * UNIT) && !present(b, 4 * UNIT), "a page nobody touched is there");
	require(!ftruncate(f->fd, GIB), "ftruncate");
	expect(!present(a, GIB) && !present(b, GIB), "a page behind the end is still there");
	/* XFS takes the rest away too, to look for pinned pages; it comes back on demand. */
	expect_contents(a, f, HOME, 0, GIB);
	expect_contents(b, f, HOME, 0, GIB);
	expect(present(a, UNIT) && present(b, UNIT), "a page before the end does not come back");
	expect_call(a, 0, SYS_munmap, HOME, UNIT);
	expect(!present(a, 0) && present(b, 0), "after munmap: A %d, B %d", present(a, 0),
	       present(b, 0));
}

static void pagemap_copy(void)
{
	uint64_t one, two;

	mappers();
	expect_store(a, HOME + UNIT, 0xA);
	one = pagemap_entry(a->pid, HOME + UNIT);
	two = pagemap_entry(b->pid, HOME + UNIT);
	expect((one & PM_PRESENT) && (two & PM_PRESENT) && PM_PFN(one) != PM_PFN(two),
	       "entries %llx and %llx after a copy", (unsigned long long)one,
	       (unsigned long long)two);
}

static int incore(struct worker *w, uint64_t offset)
{
	unsigned char *vector = worker_scratch(w);

	*vector = 0xFF;
	expect_call(w, 0, SYS_mincore, HOME + offset, PAGE, ADDRESS_OF(vector));
	return *vector & 1;
}

static void in_core(void)
{
	mappers();
	expect(incore(a, UNIT) == 1 && incore(b, UNIT) == 1, "touched and not in core");
	expect(incore(a, 4 * UNIT) == 0 && incore(b, 4 * UNIT) == 0, "untouched and in core");
	require(!fallocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, UNIT, UNIT),
		"punch: %s", strerror(errno));
	expect(incore(a, UNIT) == 0 && incore(b, UNIT) == 0, "punched and in core");
	expect_contents(a, f, HOME + GIB, GIB, GIB);
	expect(incore(a, GIB) == 1, "a page elsewhere does not come back");
}

static void smaps(void)
{
	static const char *const same[] = { "Size:", "Rss:", "FilePmdMapped:", "Swap:", "Locked:" };

	mappers();
	for (size_t i = 0; i < sizeof(same) / sizeof(*same); i++) {
		long one = smaps_kb(a->pid, HOME, same[i]), two = smaps_kb(b->pid, HOME, same[i]);

		expect(one >= 0 && one == two, "%s %ld kB in A, %ld kB in B", same[i], one, two);
	}
	expect(smaps_kb(a->pid, HOME, "Size:") == 2 << 20, "Size: %ld kB",
	       smaps_kb(a->pid, HOME, "Size:"));
	expect(smaps_kb(a->pid, HOME, "Rss:") <= 2 << 20, "Rss: %ld kB",
	       smaps_kb(a->pid, HOME, "Rss:"));
	expect(smaps_flag(a->pid, HOME, "sh") == !shape.private, "VmFlags: sh");
	expect(smaps_flag(a->pid, HOME, "wr"), "VmFlags: wr");
	expect(smaps_flag(a->pid, HOME, "nh") == shape.small, "VmFlags: nh");
	expect_call(a, 0, SYS_mprotect, HOME + UNIT, UNIT, PROT_READ);
	expect(smaps_kb(a->pid, HOME + UNIT, "Size:") == 2048, "Size: %ld kB after a split",
	       smaps_kb(a->pid, HOME + UNIT, "Size:"));
	expect(!smaps_flag(a->pid, HOME + UNIT, "wr"), "VmFlags: wr after PROT_READ");
	expect(smaps_kb(b->pid, HOME, "Size:") == 2 << 20, "B was split");
	meet(GIB, 1);
}

/* Pss of everybody adds up to what is mapped, and nobody calls private what others map. */
static void pss(void)
{
	static const char *const private[] = { "Private_Clean:", "Private_Dirty:" };
	struct worker *w[3];
	long sum = 0, resident;

	f = file_standard(1);
	for (int i = 0; i < 3; i++) {
		w[i] = worker_start(i ? i == 1 ? "B" : "C" : "A");
		map(w[i], f, 0, GIB);
		expect_contents(w[i], f, HOME, 0, GIB);
	}
	/* Since 6.15. Before that, pages of DAX files were not counted in processes at all. */
	resident = smaps_kb(w[0]->pid, HOME, "Rss:");
	if (!resident)
		skip_case("this kernel does not count the pages of DAX files");
	for (int i = 0; i < 3; i++) {
		expect(smaps_kb(w[i]->pid, HOME, "Rss:") == resident, "Rss: %ld kB, not %ld",
		       smaps_kb(w[i]->pid, HOME, "Rss:"), resident);
		for (int k = 0; k < 2; k++)
			expect(smaps_kb(w[i]->pid, HOME, private[k]) == 0, "%s %ld kB", private[k],
			       smaps_kb(w[i]->pid, HOME, private[k]));
		sum += smaps_kb(w[i]->pid, HOME, "Pss:");
	}
	/* Each is rounded down. */
	expect(sum <= resident && sum > resident - 4, "Pss is %ld kB in all, and %ld are mapped",
	       sum, resident);
	worker_exit(w[0]);
	worker_exit(w[1]);
	sum = smaps_kb(w[2]->pid, HOME, "Pss:");
	expect(sum == resident, "Pss of the last one is %ld kB, and %ld are mapped", sum, resident);
}

/* pagemap says whether a page is mapped by this process only. */
static void exclusive(void)
{
	uint64_t entry;

	f = file_standard(1);
	a = worker_start("A");
	b = worker_start("B");
	map(a, f, 0, GIB);
	map(b, f, 0, GIB);
	expect_contents(a, f, HOME, 0, GIB);
	entry = pagemap_entry(a->pid, HOME);
	expect(entry & PM_PRESENT, "pagemap says %#llx", (unsigned long long)entry);
	if (!(entry & PM_EXCLUSIVE))
		skip_case("this kernel does not count the pages of DAX files");
	expect_contents(b, f, HOME, 0, GIB);
	expect(!(pagemap_entry(a->pid, HOME) & PM_EXCLUSIVE), "exclusive with two mappers");
	expect(!(pagemap_entry(b->pid, HOME) & PM_EXCLUSIVE), "exclusive with two mappers");
	expect_call(b, 0, SYS_munmap, HOME, GIB);
	expect(pagemap_entry(a->pid, HOME) & PM_EXCLUSIVE, "not exclusive with one mapper");
}

/* Whatever walks page tables for /proc walks these without harm. */
static void proc_files(void)
{
	static const char *const files[] = {
		"smaps", "smaps_rollup", "numa_maps", "maps", "status", "statm", "oom_score",
	};
	char path[64];

	mappers();
	for (int i = 0; i < 2; i++) {
		for (size_t k = 0; k < sizeof(files) / sizeof(*files); k++) {
			const char *text;

			snprintf(path, sizeof(path), "/proc/%d/%s", (i ? b : a)->pid, files[k]);
			if (access(path, F_OK))
				continue;
			text = read_text(path);
			expect(text && *text, "%s is empty", path);
		}
	}
	if (access("/proc/self/numa_maps", F_OK) == 0) {
		snprintf(path, sizeof(path), "/proc/%d/numa_maps", a->pid);
		expect(strstr(read_text(path), "semantics."), "%s does not name the file", path);
	}
	expect_contents(a, f, HOME, 0, 2 * GIB);
	meet(GIB, 1);
}

/* A process pays for all tables that it uses, shared or not, and not when it has unmapped. */
static void vm_pte(void)
{
	/* A page of PMDs, and for 4 KiB entries at least one page of PTEs. */
	long before, mapped, after, least = shape.small ? 2 * 4 : 4;
	char path[64];

	f = file_standard(1);
	a = worker_start("A");
	b = worker_start("B");
	snprintf(path, sizeof(path), "/proc/%d/status", a->pid);
	before = number_after(path, "VmPTE:");
	map(a, f, 0, GIB);
	map(b, f, 0, GIB);
	expect_contents(b, f, HOME, 0, GIB);
	expect_contents(a, f, HOME, 0, GIB);
	mapped = number_after(path, "VmPTE:");
	expect(mapped >= before + least, "VmPTE goes from %ld to %ld kB", before, mapped);
	worker_exit(b);
	expect_contents(a, f, HOME, 0, GIB);
	expect_call(a, 0, SYS_munmap, HOME, GIB);
	after = number_after(path, "VmPTE:");
	expect(after == before, "VmPTE is %ld kB and was %ld", after, before);
}

static void clear_refs(struct worker *w, const char *what)
{
	char path[64];
	int error;

	snprintf(path, sizeof(path), "/proc/%d/clear_refs", w->pid);
	error = write_text(path, what);
	require(!error, "%s: %s", path, strerror(-error));
}

/* The referenced bits, of all, anonymous and mapped pages, and the peak RSS. */
static void clear_referenced(void)
{
	mappers();
	clear_refs(a, "1");
	clear_refs(b, "2");
	clear_refs(a, "3");
	clear_refs(b, "5");
	expect_contents(a, f, HOME, 0, 2 * GIB);
	expect_contents(b, f, HOME, 0, 2 * GIB);
	meet(GIB, 1);
}

static bool soft_dirty(struct worker *w, uint64_t offset)
{
	return pagemap_entry(w->pid, HOME + offset) & PM_SOFT_DIRTY;
}

static bool kernel_has_soft_dirty(void)
{
	/* A new anonymous page is soft-dirty at once where the bit exists. */
	volatile char *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				   -1, 0);

	page[0] = 1;
	return pagemap_entry(getpid(), ADDRESS_OF(page)) & PM_SOFT_DIRTY;
}

/* Each process has its own record of what it stored since the bits were cleared. */
static void soft_dirty_bits(void)
{
	if (!kernel_has_soft_dirty())
		skip_case("no soft-dirty bits in this kernel");
	mappers();
	expect_store(a, HOME + UNIT, 1);
	expect_store(b, HOME + UNIT, 2);
	clear_refs(a, "4");
	expect_contents(a, f, HOME + GIB, GIB, GIB);
	expect(!soft_dirty(a, GIB), "A has only loaded");
	/* What another stores does not make A's page soft-dirty. */
	expect_store(b, HOME + GIB, 3);
	expect(!soft_dirty(a, GIB), "B has stored, not A");
	expect_store(a, HOME + GIB + UNIT, 4);
	expect(soft_dirty(a, GIB + UNIT), "A has stored and nothing shows");
	clear_refs(b, "4");
	expect(!soft_dirty(b, GIB), "B's bits are not cleared");
	expect(soft_dirty(a, GIB + UNIT), "clearing B's bits cleared A's");
	expect_store(b, HOME + GIB, 5);
	expect(soft_dirty(b, GIB), "B has stored and nothing shows");
	expect_contents(b, f, HOME, 0, UNIT);
}

/* Both clear, both are watched, and they keep out of each other's record. */
static void soft_dirty_both(void)
{
	if (!kernel_has_soft_dirty())
		skip_case("no soft-dirty bits in this kernel");
	mappers();
	for (int i = 0; i < 3; i++) {
		clear_refs(a, "4");
		clear_refs(b, "4");
		expect_contents(a, f, HOME + GIB, GIB, GIB);
		expect_contents(b, f, HOME + GIB, GIB, GIB);
		expect_store(b, HOME + UNIT, i);
		expect(soft_dirty(b, UNIT), "B has stored and nothing shows");
		expect(!soft_dirty(a, UNIT), "B has stored, not A");
		expect(!soft_dirty(a, GIB) && !soft_dirty(b, GIB), "nobody has stored there");
	}
}

/* PAGEMAP_SCAN, as of linux/fs.h of 6.7; older headers lack it. */
struct scan_region {
	uint64_t start, end, categories;
};

struct scan_arguments {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};

#define SCAN		   _IOWR('f', 16, struct scan_arguments)
#define SCAN_WP_MATCHING   1
#define SCAN_CHECK_WPASYNC 2
#define SCAN_IS_WRITTEN	   2
#define SCAN_IS_PRESENT	   8

static long scan(struct worker *w, uint64_t flags, uint64_t categories, uint64_t start,
		 uint64_t length, struct scan_region *regions, int count)
{
	struct scan_arguments arguments = {
		.size = sizeof(arguments),
		.flags = flags,
		.start = start,
		.end = start + length,
		.vec = ADDRESS_OF(regions),
		.vec_len = count,
		.category_mask = categories,
		.return_mask = categories,
	};
	char path[64];
	long got;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/pagemap", w->pid);
	fd = open(path, O_RDONLY);
	require(fd >= 0, "%s: %s", path, strerror(errno));
	got = ioctl(fd, SCAN, &arguments);
	if (got < 0)
		got = -errno;
	close(fd);
	return got;
}

static void pagemap_scan(void)
{
	struct scan_region regions[64];
	long got, other;

	mappers();
	got = scan(a, 0, SCAN_IS_PRESENT, HOME, 2 * GIB, regions, 64);
	if (got == -ENOTTY)
		skip_case("no PAGEMAP_SCAN in this kernel");
	other = scan(b, 0, SCAN_IS_PRESENT, HOME, 2 * GIB, regions, 64);
	expect(got > 0 && got == other, "%ld regions in A, %ld in B", got, other);
	for (long i = 0; i < other; i++)
		expect(regions[i].start >= HOME && regions[i].end <= HOME + 2 * GIB &&
			       (pagemap_entry(b->pid, regions[i].start) & PM_PRESENT),
		       "region %llx-%llx is not there", (unsigned long long)regions[i].start,
		       (unsigned long long)regions[i].end);
	/* Without userfaultfd write-protection nobody may ask for it. */
	got = scan(a, SCAN_WP_MATCHING | SCAN_CHECK_WPASYNC, SCAN_IS_WRITTEN, HOME, 2 * GIB,
		   regions, 64);
	expect(got == -EPERM, "write-protecting returns %ld", got);
	meet(UNIT, 1);
	meet(GIB, 2);
}

#ifndef UFFD_FEATURE_WP_UNPOPULATED
#define UFFD_FEATURE_WP_UNPOPULATED (1 << 13)
#endif
#ifndef UFFD_FEATURE_WP_ASYNC
#define UFFD_FEATURE_WP_ASYNC (1 << 15)
#endif

/* A userfaultfd of worker A; -1 when the kernel lacks the features. */
static int uffd_of_a(uint64_t features)
{
	struct uffdio_api *api = worker_scratch(a);
	long fd = call(a, SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);

	if (fd < 0)
		return -1;
	*api = (struct uffdio_api){ .api = UFFD_API, .features = features };
	if (call(a, SYS_ioctl, fd, UFFDIO_API, ADDRESS_OF(api)))
		return -1;
	return fd;
}

static long uffd_register(int fd, uint64_t start, uint64_t length, uint64_t mode)
{
	struct uffdio_register *request = worker_scratch(a);

	*request = (struct uffdio_register){
		.range = { .start = start, .len = length },
		.mode = mode,
	};
	return call(a, SYS_ioctl, fd, UFFDIO_REGISTER, ADDRESS_OF(request));
}

/* Missing-page faults of a DAX file are not userfaultfd's business. */
static void uffd_missing(void)
{
	int fd;

	mappers();
	fd = uffd_of_a(0);
	if (fd < 0)
		skip_case("no userfaultfd in this kernel");
	expect(uffd_register(fd, HOME, 2 * GIB, UFFDIO_REGISTER_MODE_MISSING) == -EINVAL,
	       "a DAX range was registered");
	expect_contents(a, f, HOME, 0, 2 * GIB);
	expect_contents(b, f, HOME, 0, 2 * GIB);
	meet(GIB, 1);
}

/*
 * Asynchronous write-protection may be registered for any mapping.  Nothing is
 * protected here: touching a protected DAX page livelocks 6.12.
 */
static void uffd_write_protect(uint64_t start, uint64_t length, long detached)
{
	struct uffdio_range *range;
	int fd;

	mappers();
	fd = uffd_of_a(UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_WP_UNPOPULATED);
	if (fd < 0)
		skip_case("no asynchronous write-protection in this kernel");
	tables_mark();
	expect(!uffd_register(fd, HOME + start, length, UFFDIO_REGISTER_MODE_WP),
	       "registration fails");
	expect_detached(detached);
	expect_contents(a, f, HOME, 0, 2 * GIB);
	expect_contents_at_hand(b, f, HOME, 0, 2 * GIB);
	expect_store(b, HOME + UNIT, 0xB);
	expect_value(a, HOME + UNIT, shape.private ? stamp(f, UNIT) : 0xB);
	/* What is registered stays out of shared tables. */
	expect_tables(0, 0);
	range = worker_scratch(a);
	*range = (struct uffdio_range){ .start = HOME + start, .len = length };
	expect_call(a, 0, SYS_ioctl, fd, UFFDIO_UNREGISTER, ADDRESS_OF(range));
	expect_contents(a, f, HOME + GIB, GIB, GIB);
	meet(GIB, 1);
}

static void uffd_whole(void)
{
	uffd_write_protect(0, 2 * GIB, 2);
}

static void uffd_unit(void)
{
	uffd_write_protect(UNIT, UNIT, 1);
}

/* A's pages are write-protected through PAGEMAP_SCAN; B, who shares, stores on. */
static void scan_write_protects(void)
{
	struct scan_region regions[64];
	long got, before;
	int fd;

	mappers();
	expect_store(b, HOME + UNIT, 1);
	fd = uffd_of_a(UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_WP_UNPOPULATED);
	if (fd < 0)
		skip_case("no asynchronous write-protection in this kernel");
	expect(!uffd_register(fd, HOME, 2 * GIB, UFFDIO_REGISTER_MODE_WP), "registration fails");
	got = scan(a, SCAN_WP_MATCHING | SCAN_CHECK_WPASYNC, SCAN_IS_WRITTEN, HOME + UNIT, UNIT,
		   regions, 64);
	expect(got >= 0, "PAGEMAP_SCAN: %s", strerror(-got));
	/* A must not touch its pages from here on; see above.  B's are not protected. */
	before = faults_of(b->pid);
	expect_store(b, HOME + UNIT, 2);
	expect(faults_of(b->pid) == before, "B's page was protected too");
	expect_store(b, HOME + UNIT + PAGE, 3);
	expect_contents(b, f, HOME + GIB, GIB, GIB);
	worker_kill(a);
	expect_store(b, HOME + UNIT, 4);
	expect_contents(b, f, HOME + GIB, GIB, GIB);
}

/* The line in /proc/meminfo follows the shared tables up and down again. */
static void meminfo_line(void)
{
	long before, during;

	if (number_after("/proc/meminfo", "SharedPageTables:") < 0)
		skip_case("page tables are not shared in this kernel");
	f = file_standard(1);
	a = worker_start("A");
	b = worker_start("B");
	map(a, f, 0, GIB);
	map(b, f, 0, GIB);
	write_text("/proc/sys/vm/stat_refresh", "1");
	before = number_after("/proc/meminfo", "SharedPageTables:");
	expect_contents(a, f, HOME, 0, GIB);
	write_text("/proc/sys/vm/stat_refresh", "1");
	during = number_after("/proc/meminfo", "SharedPageTables:");
	if (sharing_on())
		expect(during >= before + 4, "%ld kB before, %ld kB now", before, during);
	else
		expect(during == before, "%ld kB before, %ld kB now", before, during);
	expect_contents(b, f, HOME, 0, GIB);
	write_text("/proc/sys/vm/stat_refresh", "1");
	expect(number_after("/proc/meminfo", "SharedPageTables:") == during,
	       "a second user changes the line");
	worker_exit(a);
	worker_exit(b);
	write_text("/proc/sys/vm/stat_refresh", "1");
	expect(number_after("/proc/meminfo", "SharedPageTables:") == before,
	       "%ld kB before, %ld kB at the end", before,
	       number_after("/proc/meminfo", "SharedPageTables:"));
}

/* smaps says how much of a mapping uses shared tables. */
static void smaps_shared(void)
{
	long part;

	f = file_standard(2);
	a = worker_start("A");
	b = worker_start("B");
	map(a, f, 0, 2 * GIB);
	if (!sharing_known())
		skip_case("page tables are not shared in this kernel");
	part = smaps_kb(a->pid, HOME, "DaxPtShared:");
	expect(part == 0, "%ld kB before anything was touched", part);
	expect_contents(a, f, HOME, 0, GIB);
	part = smaps_kb(a->pid, HOME, "DaxPtShared:");
	expect(part == (sharing_on() ? 1 << 20 : 0), "%ld kB with one GiB touched", part);
	expect_contents(a, f, HOME + GIB, GIB, GIB);
	part = smaps_kb(a->pid, HOME, "DaxPtShared:");
	expect(part == (sharing_on() ? 2 << 20 : 0), "%ld kB with two", part);
	expect_call(a, 0, SYS_munmap, HOME + GIB + UNIT, PAGE);
	part = smaps_kb(a->pid, HOME, "DaxPtShared:");
	expect(part == (sharing_on() ? 1 << 20 : 0), "%ld kB with a hole in the second", part);
}

/* Turned off, the switch stops new sharing and leaves what there is intact. */
static void switch_off(void)
{
	static const char path[] = "/proc/sys/vm/dax_share_page_tables";
	struct worker *c;

	if (!sharing_on())
		skip_case("sharing is not on");
	mappers();
	c = worker_start("C");
	map(c, f, 0, 2 * GIB);
	require(!write_text(path, "0"), "the switch cannot be turned off");
	tables_mark();
	expect_contents(c, f, HOME, 0, 2 * GIB);
	expect_tables(0, 0);
	expect_contents(a, f, HOME, 0, 2 * GIB);
	expect_contents(b, f, HOME, 0, 2 * GIB);
	meet(UNIT, 1);
	expect_value(c, HOME + UNIT, shape.private ? stamp(f, UNIT) : 1);
	require(!ftruncate(f->fd, GIB), "ftruncate");
	expect_load_signal(a, HOME + GIB, SIGBUS);
	expect_load_signal(b, HOME + GIB, SIGBUS);
	expect_load_signal(c, HOME + GIB, SIGBUS);
	expect_call(a, 0, SYS_munmap, HOME + UNIT, UNIT);
	expect_contents(b, f, HOME, 0, UNIT);
	require(!write_text(path, "1"), "the switch cannot be turned on");
}

/* The other way to find a table: through a mapping that uses it. */
static void lookup_by_walk(void)
{
	static const char knob[] = "/proc/sys/vm/dax_share_page_tables_lookup";
	struct worker *odd, *reader, *far, *part, *copier;
	bool by_walk = number_after(knob, "") == 1;

	if (write_text(knob, "1"))
		skip_case("one way only to look tables up in this kernel");
	f = file_standard(2);
	odd = worker_start("odd");
	reader = worker_start("reader");
	a = worker_start("A");
	b = worker_start("B");
	far = worker_start("far");
	part = worker_start("part");
	copier = worker_start("copier");
	/* The walk reaches these before A: none of them has A's table. */
	map_at(odd, f->fd, HOME + UNIT, 2 * GIB, 0, PROT_READ | PROT_WRITE, shape_flag());
	map_at(reader, f->fd, HOME, 2 * GIB, 0, PROT_READ, shape_flag());
	map_at(copier, f->fd, HOME, 2 * GIB, 0, PROT_READ | PROT_WRITE,
	       shape.private ? MAP_SHARED : MAP_PRIVATE | MAP_NORESERVE);
	map(a, f, 0, 2 * GIB);
	map(b, f, 0, 2 * GIB);
	map_at(far, f->fd, ELSEWHERE, 2 * GIB, 0, PROT_READ | PROT_WRITE, shape_flag());
	map_at(part, f->fd, ELSEWHERE, GIB, GIB, PROT_READ | PROT_WRITE, shape_flag());
	tables_mark();
	expect_contents(odd, f, HOME + UNIT, 0, 2 * GIB);
	expect_tables(0, 0);
	expect_contents(reader, f, HOME, 0, 2 * GIB);
	expect_contents(copier, f, HOME, 0, 2 * GIB);
	expect_tables(4, 4);
	expect_contents(a, f, HOME, 0, 2 * GIB);
	expect_tables(2, 2);
	expect_contents(b, f, HOME, 0, 2 * GIB);
	expect_contents(far, f, ELSEWHERE, 0, 2 * GIB);
	expect_contents(part, f, ELSEWHERE, GIB, GIB);
	expect_tables(0, 5);
	expect_store_signal(reader, HOME + UNIT, SIGSEGV);
	meet(UNIT, 1);
	expect_value(far, ELSEWHERE + UNIT, shape.private ? stamp(f, UNIT) : 1);
	expect_store(copier, HOME + GIB, 0xC);
	expect_value(part, ELSEWHERE, shape.private ? 0xC : stamp(f, GIB));
	/* The first who had the table is gone, others have it still. */
	worker_exit(a);
	expect_call(b, 0, SYS_munmap, HOME, 2 * GIB);
	map(b, f, 0, 2 * GIB);
	tables_mark();
	expect_value(b, HOME + GIB + UNIT, stamp(f, GIB + UNIT));
	expect_value(b, HOME, stamp(f, 0));
	expect_tables(0, 2);
	require(!write_text(knob, by_walk ? "1" : "0"), "cannot write %s", knob);
}

const struct semantic_case inspect_cases[] = {
	{ "inspect/pagemap", EVERY_SHAPE, pagemap, "pagemap agrees with what is mapped" },
	{ "inspect/pagemap-copy", PRIVATE_ALL, pagemap_copy, "a copy has a frame of its own" },
	{ "inspect/mincore", EVERY_SHAPE, in_core, "mincore agrees with what is mapped" },
	{ "inspect/smaps", EVERY_SHAPE, smaps, "smaps agrees between processes" },
	{ "inspect/pss", EVERY_SHAPE, pss, "Pss adds up to what is mapped" },
	{ "inspect/exclusive", EVERY_SHAPE, exclusive, "pagemap knows of other mappers" },
	{ "inspect/proc-files", EVERY_SHAPE, proc_files, "smaps_rollup, numa_maps and others" },
	{ "inspect/vm-pte", EVERY_SHAPE, vm_pte, "VmPTE rises, and returns to its start" },
	{ "inspect/clear-refs", EVERY_SHAPE, clear_referenced, "referenced bits are cleared" },
	{ "inspect/soft-dirty", EVERY_SHAPE, soft_dirty_bits, "soft-dirty bits of one" },
	{ "inspect/soft-dirty-both", EVERY_SHAPE, soft_dirty_both, "soft-dirty bits of both" },
	{ "inspect/pagemap-scan", EVERY_SHAPE, pagemap_scan, "PAGEMAP_SCAN finds what is there" },
	{ "inspect/uffd-missing", SHARED_2M | PRIVATE_2M, uffd_missing,
	  "userfaultfd refuses missing mode" },
	{ "inspect/uffd-whole", EVERY_SHAPE, uffd_whole, "userfaultfd write-protect mode, all" },
	{ "inspect/uffd-unit", EVERY_SHAPE, uffd_unit, "... of one unit" },
	{ "inspect/scan-write-protects", EVERY_SHAPE, scan_write_protects,
	  "PAGEMAP_SCAN write-protects one process's pages" },
	{ "inspect/meminfo", SHARED_2M | SHARED_4K | PRIVATE_2M, meminfo_line,
	  "SharedPageTables goes up and down" },
	{ "inspect/smaps-shared", EVERY_SHAPE, smaps_shared,
	  "smaps says what is in shared tables" },
	{ "inspect/lookup-walk", EVERY_SHAPE, lookup_by_walk,
	  "tables are found through mappings that use them" },
	{ "inspect/switch-off", EVERY_SHAPE, switch_off, "the switch stops new sharing only" },
	{ 0 },
};
