/* SPDX-License-Identifier: GPL-2.0 */
/* madvise(2), process_madvise(2) and mlock(2) by one of the processes that share. */
#include "cases.h"
#include "scene.h"

#include <linux/mman.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE  103
#endif
/* Of the series, since Linux 7.3. */
#define MADV_DAX_SHARE	 200
#define MADV_DAX_NOSHARE 201

static struct file *f;
static struct worker *a, *b;

static void two_mappers(void)
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

static void nothing_changed(void)
{
	expect_contents(a, f, HOME, 0, 2 * GIB);
	expect_contents(b, f, HOME, 0, 2 * GIB);
	expect_store(b, HOME + UNIT, 0xB);
	expect_value(a, HOME + UNIT, shape.private ? stamp(f, UNIT) : 0xB);
	expect_store(a, HOME + GIB, 0xA);
	expect_value(b, HOME + GIB, shape.private ? stamp(f, GIB) : 0xA);
}

/* The whole, a table, a unit and a page. */
static void everywhere(int advice, long result)
{
	two_mappers();
	expect_call(a, result, SYS_madvise, HOME, 2 * GIB, advice);
	expect_contents(b, f, HOME, 0, 2 * GIB);
	expect_call(a, result, SYS_madvise, HOME + GIB, GIB, advice);
	expect_call(a, result, SYS_madvise, HOME + UNIT, UNIT, advice);
	expect_call(a, result, SYS_madvise, HOME + UNIT + PAGE, PAGE, advice);
	nothing_changed();
}

static void normal(void)
{
	everywhere(MADV_NORMAL, 0);
}

static void random_access(void)
{
	everywhere(MADV_RANDOM, 0);
}

static void sequential(void)
{
	everywhere(MADV_SEQUENTIAL, 0);
}

static void willneed(void)
{
	everywhere(MADV_WILLNEED, 0);
}

static void dontneed(void)
{
	everywhere(MADV_DONTNEED, 0);
}

static void dontneed_locked(void)
{
	/* DAX mappings are never VM_LOCKED, so this is no different. */
	everywhere(MADV_DONTNEED_LOCKED, 0);
}

/* Lazy freeing is for anonymous memory. */
static void lazy_free(void)
{
	everywhere(MADV_FREE, -EINVAL);
}

static void cold(void)
{
	everywhere(MADV_COLD, 0);
}

static void pageout(void)
{
	everywhere(MADV_PAGEOUT, 0);
}

static void hugepage(void)
{
	everywhere(MADV_HUGEPAGE, 0);
}

static void nohugepage(void)
{
	everywhere(MADV_NOHUGEPAGE, 0);
}

/* Other advice for the whole: A needs tables of its own kind from here on. */
static void nohugepage_leaves(void)
{
	two_mappers();
	expect_call(a, 0, SYS_madvise, HOME, 2 * GIB,
		    shape.small ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	expect_detached(2);
	expect_contents(a, f, HOME, 0, 2 * GIB);
	expect_tables(2, 2);
	expect_contents_at_hand(b, f, HOME, 0, 2 * GIB);
	nothing_changed();
}

static void collapse(void)
{
	everywhere(MADV_COLLAPSE, -EINVAL);
}

static void wipeonfork(void)
{
	everywhere(MADV_WIPEONFORK, -EINVAL);
}

static void keeponfork(void)
{
	everywhere(MADV_KEEPONFORK, 0);
}

static void dontdump(void)
{
	everywhere(MADV_DONTDUMP, 0);
}

static void dodump(void)
{
	everywhere(MADV_DODUMP, 0);
}

static void dontfork_part(void)
{
	everywhere(MADV_DONTFORK, 0);
}

static void mergeable(void)
{
	two_mappers();
	if (call(a, SYS_madvise, HOME, 2 * GIB, MADV_MERGEABLE) == -EINVAL)
		skip_case("no KSM in this kernel");
	expect_call(a, 0, SYS_madvise, HOME + UNIT, UNIT, MADV_UNMERGEABLE);
	nothing_changed();
}

/* What A drops it finds again; what B stores in between is what it finds. */
static void dontneed_refault(void)
{
	two_mappers();
	for (uint64_t i = 1; i <= 3; i++) {
		expect_store(b, HOME + UNIT, i);
		expect_call(a, 0, SYS_madvise, HOME, 2 * GIB, MADV_DONTNEED);
		/* B has dropped nothing. */
		expect_contents_at_hand(b, f, HOME + GIB, GIB, GIB);
		expect_value(a, HOME + UNIT, shape.private ? stamp(f, UNIT) : i);
		expect_value(b, HOME + UNIT, i);
	}
	expect_contents(a, f, HOME + GIB, GIB, GIB);
	expect_contents(b, f, HOME + GIB, GIB, GIB);
}

/* Reading in everything of some units leaves B a view of the same, and no more. */
static void populate_read(void)
{
	two_mappers();
	expect_call(a, 0, SYS_madvise, HOME, 4 * UNIT, MADV_POPULATE_READ);
	expect_zeros(a, HOME + 2 * UNIT, 2 * UNIT);
	expect_zeros(b, HOME + 2 * UNIT, 2 * UNIT);
	nothing_changed();
}

static void populate_write(void)
{
	long before;

	two_mappers();
	expect_call(a, 0, SYS_madvise, HOME, 2 * UNIT, MADV_POPULATE_WRITE);
	before = faults_of(a->pid);
	expect_store(a, HOME + PAGE, stamp(f, PAGE));
	expect(faults_of(a->pid) == before, "%ld faults after populating for stores",
	       faults_of(a->pid) - before);
	nothing_changed();
}

static void populate_refused(void)
{
	two_mappers();
	expect_call(b, 0, SYS_mprotect, HOME, 2 * GIB, PROT_READ);
	expect_call(b, -EINVAL, SYS_madvise, HOME, UNIT, MADV_POPULATE_WRITE);
	expect_store_signal(b, HOME, SIGSEGV);
	require(!ftruncate(f->fd, 2 * UNIT), "ftruncate");
	expect_call(a, -EFAULT, SYS_madvise, HOME + GIB, UNIT, MADV_POPULATE_READ);
	expect_contents(a, f, HOME, 0, 2 * UNIT);
	expect_contents(b, f, HOME, 0, 2 * UNIT);
}

/* MADV_REMOVE punches a hole in the file: everybody sees zeros. */
static void remove_range(void)
{
	two_mappers();
	if (shape.private) {
		expect_call(a, -EACCES, SYS_madvise, HOME + UNIT, UNIT, MADV_REMOVE);
		nothing_changed();
		return;
	}
	expect_store(a, HOME + UNIT + PAGE, 1);
	expect_call(a, 0, SYS_madvise, HOME + UNIT, UNIT, MADV_REMOVE);
	expect_zeros(a, HOME + UNIT, UNIT);
	expect_zeros(b, HOME + UNIT, UNIT);
	expect_contents(a, f, HOME, 0, UNIT);
	expect_contents(b, f, HOME + GIB, GIB, GIB);
	expect_store(b, HOME + UNIT, 2);
	expect_value(a, HOME + UNIT, 2);
}

/* Pages of a device cannot be moved away from; that they fail is for poison.c. */
static void soft_offline(void)
{
	two_mappers();
	if (number_after("/proc/meminfo", "HardwareCorrupted:") < 0)
		skip_case("no memory failure handling in this kernel");
	expect_call(a, -EIO, SYS_madvise, HOME, UNIT, MADV_SOFT_OFFLINE);
	expect_call(b, -EIO, SYS_madvise, HOME + GIB, PAGE, MADV_SOFT_OFFLINE);
	expect_contents_at_hand(a, f, HOME, 0, 2 * GIB);
	nothing_changed();
}

/*
 * Two vmas that differ in advice no table cares for meet at a table boundary.
 * More advice makes a unit beyond it like the one before it: the kernel merges,
 * and the boundary moves into a table that neither vma covers from then on.
 */
static void boundary_moves(uint64_t advised, uint64_t unit)
{
	two_mappers();
	expect_call(a, 0, SYS_madvise, HOME + advised, GIB, MADV_RANDOM);
	expect_detached(0);
	expect_contents(a, f, HOME, 0, 2 * GIB);
	expect_call(a, 0, SYS_madvise, HOME + unit, UNIT, MADV_RANDOM);
	expect_detached(1);
	expect_contents(a, f, HOME, 0, 2 * GIB);
	expect_contents_at_hand(b, f, HOME, 0, 2 * GIB);
	expect_call(a, 0, SYS_munmap, HOME + unit, UNIT);
	expect_load_signal(a, HOME + unit, SIGSEGV);
	expect_store(b, HOME + unit, 0xB);
	expect_contents(a, f, HOME, 0, unit);
	expect_contents(a, f, HOME + unit + UNIT, unit + UNIT, 2 * GIB - unit - UNIT);
}

static void boundary_moves_up(void)
{
	boundary_moves(0, GIB);
}

static void boundary_moves_down(void)
{
	boundary_moves(GIB, GIB - UNIT);
}

/* Advice given to A by a process that is not A. */
static void by_another(void)
{
	static const int advices[] = { MADV_COLD, MADV_PAGEOUT, MADV_WILLNEED };
	struct iovec range = { (void *)(HOME + UNIT), UNIT };
	int pidfd;

	two_mappers();
	pidfd = syscall(SYS_pidfd_open, a->pid, 0);
	require(pidfd >= 0, "pidfd_open: %s", strerror(errno));
	for (int i = 0; i < 3; i++) {
		long got = syscall(SYS_process_madvise, pidfd, &range, 1, advices[i], 0);

		expect(got == (long)UNIT, "process_madvise(%d) returns %ld (%s)", advices[i], got,
		       strerror(errno));
	}
	expect(syscall(SYS_process_madvise, pidfd, &range, 1, MADV_COLLAPSE, 0) < 0,
	       "a DAX range was collapsed");
	expect(syscall(SYS_process_madvise, pidfd, &range, 1, MADV_DONTFORK, 0) < 0,
	       "MADV_DONTFORK was done to another");
	close(pidfd);
	nothing_changed();
}

/* mlock reads the range in, but a DAX mapping is not locked. */
static void lock_and_unlock(void)
{
	long before;

	two_mappers();
	expect_call(a, 0, SYS_mlock, HOME, 4 * UNIT);
	expect(!smaps_flag(a->pid, HOME, "lo"), "VM_LOCKED is set");
	before = faults_of(a->pid);
	expect_contents(a, f, HOME, 0, 4 * UNIT);
	expect_zeros(a, HOME + 2 * UNIT, 2 * UNIT);
	expect(faults_of(a->pid) == before, "%ld faults in locked memory",
	       faults_of(a->pid) - before);
	expect_call(a, 0, SYS_munlock, HOME, 4 * UNIT);
	expect_call(a, 0, SYS_munlock, HOME + UNIT + PAGE, PAGE);
	nothing_changed();
}

static void lock_on_fault(void)
{
	two_mappers();
	/* A DAX vma does not take the flag, so this reads the range in anyway. */
	expect_call(a, 0, SYS_mlock2, HOME, 4 * UNIT, MLOCK_ONFAULT);
	expect_contents(b, f, HOME, 0, 2 * GIB);
	expect_call(a, 0, SYS_munlock, HOME + UNIT, UNIT);
	expect_call(a, 0, SYS_mlockall, MCL_FUTURE | MCL_ONFAULT);
	map_at(a, f->fd, ELSEWHERE, GIB, 0, PROT_READ, shape_flag());
	expect_contents(a, f, ELSEWHERE, 0, GIB);
	expect_call(a, 0, SYS_munlockall);
	expect_contents(a, f, HOME, 0, 2 * GIB);
	nothing_changed();
}

/* Files can have guard regions since 6.15. */
static void install_guards(uint64_t address, uint64_t length)
{
	long got = worker_call(a, SYS_madvise,
			       (const uint64_t[6]){ address, length, MADV_GUARD_INSTALL });

	if (got == -EINVAL)
		skip_case("no guard regions in mappings of files");
	expect(!got, "MADV_GUARD_INSTALL returns %ld", got);
}

static void guard(uint64_t offset, uint64_t length)
{
	two_mappers();
	install_guards(HOME + offset, length);
	expect_load_signal(a, HOME + offset, SIGSEGV);
	expect_store_signal(a, HOME + offset + length - PAGE, SIGSEGV);
	expect_contents(b, f, HOME, 0, 2 * GIB);
	expect_value(a, HOME + GIB, stamp(f, GIB));
	expect_store(b, HOME + offset, 0xB);
	expect_load_signal(a, HOME + offset, SIGSEGV);
	expect_call(a, 0, SYS_madvise, HOME + offset, length, MADV_GUARD_REMOVE);
	expect_value(a, HOME + offset, shape.private ? stamp(f, offset) : 0xB);
	expect_value(b, HOME + offset, 0xB);
}

static void guard_page(void)
{
	guard(UNIT, PAGE);
}

static void guard_unit(void)
{
	guard(UNIT, UNIT);
}

static void guard_table(void)
{
	guard(0, GIB);
}

/* Who has had guards gets no table of others, whatever is unmapped from the rest of the vma. */
static void guard_before(void)
{
	f = file_standard(2);
	a = worker_start("A");
	b = worker_start("B");
	map(a, f, 0, 2 * GIB);
	map(b, f, 0, 2 * GIB);
	install_guards(HOME + UNIT, PAGE);
	tables_mark();
	expect_contents(b, f, HOME, 0, 2 * GIB);
	expect_tables(2, 2);
	expect_contents(a, f, HOME, 0, UNIT);
	expect_contents(a, f, HOME + GIB, GIB, GIB);
	expect_tables(0, 0);
	expect_load_signal(a, HOME + UNIT, SIGSEGV);
	expect_contents(b, f, HOME, 0, 2 * GIB);
}

/* As expect_tables(), with the switch at 2. */
static void expect_asked(long created, long attached)
{
	static struct tables before;
	struct tables now = tables_now();

	if (attached >= 0)
		expect(now.create - before.create == created &&
			       now.attach - before.attach == attached,
		       "%ld tables created and %ld attached, not %ld and %ld",
		       now.create - before.create, now.attach - before.attach, created, attached);
	before = now;
}

/* Mappings refuse to share, or ask for it where nobody does unasked. */
static void asked_or_refused(void)
{
	static const char path[] = "/proc/sys/vm/dax_share_page_tables";
	struct worker *c;

	if (!sharing_on())
		skip_case("sharing is not on");
	if (write_text(path, "2"))
		skip_case("this kernel does not share by advice");
	f = file_standard(1);
	a = worker_start("A");
	b = worker_start("B");
	c = worker_start("C");
	map(a, f, 0, GIB);
	map(b, f, 0, GIB);
	map(c, f, 0, GIB);
	expect_asked(0, -1);
	expect_contents(c, f, HOME, 0, GIB);
	expect_asked(0, 0);
	expect_call(a, 0, SYS_madvise, HOME, GIB, MADV_DAX_SHARE);
	expect_call(b, 0, SYS_madvise, HOME, GIB, MADV_DAX_SHARE);
	expect_contents(a, f, HOME, 0, GIB);
	expect_asked(1, 1);
	expect_contents(b, f, HOME, 0, GIB);
	expect_asked(0, 1);
	require(!write_text(path, "1"), "the switch cannot be turned back");
	tables_mark();
	expect_call(b, 0, SYS_madvise, HOME, GIB, MADV_DAX_NOSHARE);
	expect_detached(1);
	expect_contents(b, f, HOME, 0, GIB);
	expect_tables(0, 0);
	expect_contents(a, f, HOME, 0, GIB);
	expect_call(c, 0, SYS_munmap, HOME, GIB);
	map(c, f, 0, GIB);
	expect_contents(c, f, HOME, 0, GIB);
	/* Who has asked and who has not are the same to a table. */
	expect_tables(0, 1);
}

const struct semantic_case advice_cases[] = {
	{ "advice/normal", SHARED_2M | PRIVATE_2M, normal, "MADV_NORMAL" },
	{ "advice/random", EVERY_SHAPE, random_access, "MADV_RANDOM, which splits vmas" },
	{ "advice/sequential", SHARED_2M | PRIVATE_2M, sequential, "MADV_SEQUENTIAL" },
	{ "advice/willneed", EVERY_SHAPE, willneed, "MADV_WILLNEED" },
	{ "advice/dontneed", EVERY_SHAPE, dontneed, "MADV_DONTNEED" },
	{ "advice/dontneed-refault", EVERY_SHAPE, dontneed_refault,
	  "MADV_DONTNEED while another stores" },
	{ "advice/dontneed-locked", EVERY_SHAPE, dontneed_locked, "MADV_DONTNEED_LOCKED" },
	{ "advice/free", SHARED_2M | PRIVATE_2M, lazy_free, "MADV_FREE is refused" },
	{ "advice/cold", EVERY_SHAPE, cold, "MADV_COLD" },
	{ "advice/pageout", EVERY_SHAPE, pageout, "MADV_PAGEOUT" },
	{ "advice/hugepage", EVERY_SHAPE, hugepage, "MADV_HUGEPAGE" },
	{ "advice/nohugepage", EVERY_SHAPE, nohugepage, "MADV_NOHUGEPAGE" },
	{ "advice/nohugepage-leaves", EVERY_SHAPE, nohugepage_leaves,
	  "other advice means other tables" },
	{ "advice/collapse", EVERY_SHAPE, collapse, "MADV_COLLAPSE is refused" },
	{ "advice/guard-page", EVERY_SHAPE, guard_page, "a guard page of one process" },
	{ "advice/guard-unit", EVERY_SHAPE, guard_unit, "... 2 MiB of guards" },
	{ "advice/guard-table", EVERY_SHAPE, guard_table, "... a GiB of guards" },
	{ "advice/guard-before", EVERY_SHAPE, guard_before, "guards before anything is shared" },
	{ "advice/asked", SHARED_2M | SHARED_4K | PRIVATE_2M, asked_or_refused,
	  "sharing is asked for, and refused" },
	{ "advice/wipeonfork", SHARED_2M | PRIVATE_2M, wipeonfork, "MADV_WIPEONFORK is refused" },
	{ "advice/keeponfork", SHARED_2M | PRIVATE_2M, keeponfork, "MADV_KEEPONFORK" },
	{ "advice/dontdump", EVERY_SHAPE, dontdump, "MADV_DONTDUMP" },
	{ "advice/dodump", SHARED_2M | PRIVATE_2M, dodump, "MADV_DODUMP" },
	{ "advice/dontfork", EVERY_SHAPE, dontfork_part, "MADV_DONTFORK of parts" },
	{ "advice/mergeable", SHARED_2M | PRIVATE_2M, mergeable, "MADV_MERGEABLE" },
	{ "advice/populate-read", EVERY_SHAPE, populate_read, "MADV_POPULATE_READ" },
	{ "advice/populate-write", EVERY_SHAPE, populate_write, "MADV_POPULATE_WRITE" },
	{ "advice/populate-refused", EVERY_SHAPE, populate_refused,
	  "populating what may not be touched" },
	{ "advice/remove", EVERY_SHAPE, remove_range, "MADV_REMOVE" },
	{ "advice/soft-offline", EVERY_SHAPE, soft_offline, "MADV_SOFT_OFFLINE is refused" },
	{ "advice/boundary-up", EVERY_SHAPE, boundary_moves_up,
	  "a vma grows into the next one's table" },
	{ "advice/boundary-down", EVERY_SHAPE, boundary_moves_down,
	  "a vma grows into the table before it" },
	{ "advice/by-another", EVERY_SHAPE, by_another, "process_madvise" },
	{ "advice/mlock", EVERY_SHAPE, lock_and_unlock, "mlock and munlock" },
	{ "advice/mlock-onfault", EVERY_SHAPE, lock_on_fault, "MLOCK_ONFAULT, mlockall" },
	{ 0 },
};
