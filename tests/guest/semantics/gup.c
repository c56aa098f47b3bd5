/* SPDX-License-Identifier: GPL-2.0 */
/* The kernel, or a debugger, gets at the pages of one process by their addresses. */
#include "cases.h"
#include "scene.h"

#include <linux/futex.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static struct file *f;
static struct worker *a, *b;

static void mappers(int protection)
{
	f = file_standard(2);
	a = worker_start("A");
	b = worker_start("B");
	for (int i = 0; i < 2; i++)
		map_at(i ? b : a, f->fd, HOME, 2 * GIB, 0, protection,
		       shape_flag() | MAP_FIXED_NOREPLACE);
	tables_mark();
	expect_contents(a, f, HOME, 0, 2 * GIB);
	expect_contents(b, f, HOME, 0, 2 * GIB);
	expect_tables(2, 4);
}

static void stop(struct worker *w)
{
	int status;

	require(!ptrace(PTRACE_ATTACH, w->pid, 0, 0), "ptrace: %s", strerror(errno));
	require(waitpid(w->pid, &status, __WALL) == w->pid && WIFSTOPPED(status), "no stop");
}

static void cont(struct worker *w)
{
	require(!ptrace(PTRACE_DETACH, w->pid, 0, 0), "ptrace: %s", strerror(errno));
}

/*
 * Where others write for A.  Under a private mapping that is a page nobody has
 * touched: to copy one that is present 4 KiB-wise, 6.12 reads it through the
 * address space of the caller (__wp_page_copy_user), warns and gets zeros.
 */
static uint64_t target(void)
{
	return shape.private ? UNIT + 5 * PAGE : UNIT;
}

static uint64_t target_word(void)
{
	return shape.private ? 0 : stamp(f, UNIT);
}

static void poke_writable(void)
{
	const uint64_t at = target();

	mappers(PROT_READ | PROT_WRITE);
	stop(a);
	errno = 0;
	expect((uint64_t)ptrace(PTRACE_PEEKDATA, a->pid, HOME + UNIT, 0) == stamp(f, UNIT),
	       "PEEKDATA: %s", strerror(errno));
	expect(!ptrace(PTRACE_POKEDATA, a->pid, HOME + at, 0xA), "POKEDATA: %s", strerror(errno));
	cont(a);
	expect_value(a, HOME + at, 0xA);
	expect_value(b, HOME + at, shape.private ? 0 : 0xA);
	expect_file_word(f, at, shape.private ? 0 : 0xA);
	expect_contents(b, f, HOME + GIB, GIB, GIB);
}

/*
 * A debugger may write where the process may not: into a private mapping, by
 * making a copy, but never through a shared read-only one to the file.
 */
static void poke_read_only(void)
{
	const uint64_t at = target();
	long got;

	mappers(PROT_READ);
	stop(a);
	got = ptrace(PTRACE_POKEDATA, a->pid, HOME + at, 0xA);
	if (shape.private)
		expect(!got, "POKEDATA: %s", strerror(errno));
	else
		expect(got == -1 && errno == EIO, "POKEDATA returns %ld: %s", got, strerror(errno));
	cont(a);
	expect_value(a, HOME + at, shape.private ? 0xA : target_word());
	expect_store_signal(a, HOME + at, SIGSEGV);
	expect_contents(b, f, HOME, 0, 2 * GIB);
	expect_file_word(f, at, target_word());
}

/* Where A has touched nothing yet: the debugger's access faults for A. */
static void poke_untouched(void)
{
	const uint64_t at = target();

	f = file_standard(1);
	a = worker_start("A");
	b = worker_start("B");
	map(a, f, 0, GIB);
	map(b, f, 0, GIB);
	tables_mark();
	expect_contents(b, f, HOME, 0, GIB);
	stop(a);
	expect(!ptrace(PTRACE_POKEDATA, a->pid, HOME + at, 0xA), "POKEDATA: %s", strerror(errno));
	cont(a);
	if (!shape.private)
		expect_tables(1, 2);
	expect_value(a, HOME + at, 0xA);
	expect_value(b, HOME + at, shape.private ? 0 : 0xA);
}

static void proc_mem(void)
{
	const uint64_t at = target();
	uint64_t word = 1;
	char path[64];
	int fd;

	mappers(PROT_READ | PROT_WRITE);
	snprintf(path, sizeof(path), "/proc/%d/mem", a->pid);
	fd = open(path, O_RDWR);
	require(fd >= 0, "%s: %s", path, strerror(errno));
	expect(pread(fd, &word, 8, HOME + UNIT) == 8 && word == stamp(f, UNIT), "read %llx",
	       (unsigned long long)word);
	word = 0xA;
	expect(pwrite(fd, &word, 8, HOME + at) == 8, "write: %s", strerror(errno));
	close(fd);
	expect_value(a, HOME + at, 0xA);
	expect_value(b, HOME + at, shape.private ? 0 : 0xA);
}

static void vm_readv_writev(void)
{
	const uint64_t at = target();
	uint64_t word = 1;
	struct iovec here = { &word, 8 }, there = { (void *)(HOME + UNIT), 8 };

	mappers(PROT_READ | PROT_WRITE);
	if (process_vm_readv(a->pid, &here, 1, &there, 1, 0) < 0 && errno == ENOSYS)
		skip_case("no process_vm_readv in this kernel");
	expect(word == stamp(f, UNIT), "read %llx", (unsigned long long)word);
	word = 0xA;
	there.iov_base = (void *)(HOME + at);
	expect(process_vm_writev(a->pid, &here, 1, &there, 1, 0) == 8, "write: %s",
	       strerror(errno));
	expect_value(a, HOME + at, 0xA);
	expect_value(b, HOME + at, shape.private ? 0 : 0xA);
	expect_call(a, 0, SYS_mprotect, HOME, 2 * GIB, PROT_READ);
	expect(process_vm_writev(a->pid, &here, 1, &there, 1, 0) < 0 && errno == EFAULT,
	       "a read-only page was written");
}

/*
 * O_DIRECT between the mapping and a raw pmem device pins the pages by
 * address.  (Reads of a DAX file do not: they copy.)
 */
static int raw_device(void)
{
	int fd;

	if (!options.raw_device)
		skip_case("no --raw-device");
	fd = open(options.raw_device, O_RDWR | O_DIRECT);
	if (fd < 0)
		skip_case("%s: %s", options.raw_device, strerror(errno));
	return fd;
}

static void fill_raw(int fd, uint64_t word)
{
	static uint64_t block[512] __attribute__((aligned(4096)));

	for (int i = 0; i < 512; i++)
		block[i] = word;
	require(pwrite(fd, block, sizeof(block), 0) == sizeof(block), "raw write: %s",
		strerror(errno));
}

static void direct_into(void)
{
	int raw = raw_device();

	fill_raw(raw, 0xD1);
	mappers(PROT_READ | PROT_WRITE);
	expect_call(a, PAGE, SYS_pread64, raw, HOME + UNIT, PAGE, 0);
	expect_value(a, HOME + UNIT, 0xD1);
	expect_value(a, HOME + UNIT + PAGE - 8, 0xD1);
	expect_value(b, HOME + UNIT, shape.private ? stamp(f, UNIT) : 0xD1);
	expect_file_word(f, UNIT, shape.private ? stamp(f, UNIT) : 0xD1);
	expect_value(a, HOME + UNIT + PAGE, stamp(f, UNIT + PAGE));
	/* B has written there itself: the entry is writable, no fault is needed. */
	fill_raw(raw, 0xD2);
	expect_store(b, HOME + UNIT, 0xB);
	expect_call(b, PAGE, SYS_pread64, raw, HOME + UNIT, PAGE, 0);
	expect_value(b, HOME + UNIT, 0xD2);
	expect_value(a, HOME + UNIT, shape.private ? 0xD1 : 0xD2);
}

static void direct_into_untouched(void)
{
	int raw = raw_device();

	fill_raw(raw, 0xD1);
	f = file_standard(1);
	a = worker_start("A");
	b = worker_start("B");
	map(a, f, 0, GIB);
	map(b, f, 0, GIB);
	tables_mark();
	expect_contents(b, f, HOME, 0, GIB);
	expect_call(a, PAGE, SYS_pread64, raw, HOME + UNIT, PAGE, 0);
	if (!shape.private)
		expect_tables(1, 2);
	expect_value(a, HOME + UNIT, 0xD1);
	expect_value(b, HOME + UNIT, shape.private ? stamp(f, UNIT) : 0xD1);
}

static void direct_into_read_only(void)
{
	int raw = raw_device();

	fill_raw(raw, 0xD1);
	mappers(PROT_READ);
	expect_call(a, -EFAULT, SYS_pread64, raw, HOME + UNIT, PAGE, 0);
	expect_contents(a, f, HOME, 0, 2 * GIB);
	expect_contents(b, f, HOME, 0, 2 * GIB);
	expect_file_word(f, UNIT, stamp(f, UNIT));
}

static void direct_from(void)
{
	static uint64_t block[512] __attribute__((aligned(4096)));
	int raw = raw_device();

	mappers(PROT_READ | PROT_WRITE);
	for (int i = 0; i < f->filled_count; i++) {
		uint64_t at = f->filled[i] * UNIT;

		expect_call(i % 2 ? b : a, PAGE, SYS_pwrite64, raw, HOME + at, PAGE, 0);
		require(pread(raw, block, PAGE, 0) == (ssize_t)PAGE, "raw read");
		expect(block[0] == stamp(f, at), "%llx was written", (unsigned long long)block[0]);
	}
}

/* A page that is pinned holds truncation up until it is let go. */
static void pin_delays_truncate(void)
{
	uint64_t word = 0;
	struct iovec *range;
	int ends[2];
	struct worker *t;

	require(!pipe(ends), "pipe");
	mappers(PROT_READ);
	t = worker_start("truncator");
	range = worker_scratch(a);
	*range = (struct iovec){ (void *)(HOME + GIB), PAGE };
	expect_call(a, PAGE, SYS_vmsplice, ends[1], ADDRESS_OF(range), 1, 0);
	call_begin(t, SYS_ftruncate, f->fd, GIB);
	expect(!worker_done(t, 300), "truncated under a pinned page");
	expect(read(ends[0], &word, 8) == 8 && word == stamp(f, GIB), "the pipe gives %llx",
	       (unsigned long long)word);
	while (word)
		if (read(ends[0], &word, 8) != 8 || !word)
			break;
	/* The rest of the page, so that the pipe lets it go. */
	for (int i = 0; i < 510; i++)
		if (read(ends[0], &word, 8) != 8)
			break;
	expect(worker_done(t, 20000), "the truncation does not go on");
	expect(!worker_call_end(t), "ftruncate fails");
	expect_load_signal(a, HOME + GIB, SIGBUS);
	expect_load_signal(b, HOME + GIB, SIGBUS);
	expect_contents(a, f, HOME, 0, GIB);
	expect_contents(b, f, HOME, 0, GIB);
}

/* Buffers of ordinary system calls, faulted in by the kernel. */
static void kernel_copies(void)
{
	int ends[2];

	require(!pipe(ends), "pipe");
	mappers(PROT_READ | PROT_WRITE);
	expect_call(a, 8, SYS_write, ends[1], HOME + UNIT, 8);
	expect_call(b, 8, SYS_read, ends[0], HOME + UNIT + PAGE, 8);
	expect_value(b, HOME + UNIT + PAGE, stamp(f, UNIT));
	expect_value(a, HOME + UNIT + PAGE, stamp(f, shape.private ? UNIT + PAGE : UNIT));
	/* One that is beyond the end of the file gets EFAULT, not a signal. */
	require(!ftruncate(f->fd, GIB), "ftruncate");
	expect_call(a, -EFAULT, SYS_write, ends[1], HOME + GIB, 8);
	expect_contents(a, f, HOME, 0, UNIT);
}

/* A futex in a shared mapping is known by its page of the file, not by its address. */
static void futex_between(void)
{
	struct worker *elsewhere;

	mappers(PROT_READ | PROT_WRITE);
	elsewhere = worker_start("elsewhere");
	map_at(elsewhere, f->fd, ELSEWHERE + UNIT, GIB, 0, PROT_READ | PROT_WRITE, shape_flag());
	expect_store(a, HOME + UNIT, 7);
	expect_value(elsewhere, ELSEWHERE + UNIT + UNIT, 7);
	call_begin(b, SYS_futex, HOME + UNIT, FUTEX_WAIT, 7, 0);
	expect(!worker_done(b, 100), "no wait");
	for (int i = 0; i < 100 && !worker_done(b, 20); i++)
		call(elsewhere, SYS_futex, ELSEWHERE + UNIT + UNIT, FUTEX_WAKE, 1);
	expect(!worker_call_end(b), "the waiter was not woken properly");
	call_begin(b, SYS_futex, HOME + UNIT, FUTEX_WAIT, 7, 0);
	expect(!worker_done(b, 100), "no wait");
	for (int i = 0; i < 100 && !worker_done(b, 20); i++)
		call(a, SYS_futex, HOME + UNIT, FUTEX_WAKE, 1);
	expect(!worker_call_end(b), "the waiter was not woken properly");
}

const struct semantic_case gup_cases[] = {
	{ "gup/poke-writable", EVERY_SHAPE, poke_writable, "ptrace writes where A may" },
	{ "gup/poke-read-only", EVERY_SHAPE, poke_read_only,
	  "ptrace writes where A may not: a copy, or EIO" },
	{ "gup/poke-untouched", EVERY_SHAPE, poke_untouched, "ptrace faults for A" },
	{ "gup/proc-mem", EVERY_SHAPE, proc_mem, "/proc/PID/mem" },
	{ "gup/process-vm", EVERY_SHAPE, vm_readv_writev, "process_vm_readv and writev" },
	{ "gup/direct-into", EVERY_SHAPE, direct_into, "O_DIRECT into the mapping" },
	{ "gup/direct-into-untouched", EVERY_SHAPE, direct_into_untouched,
	  "O_DIRECT into what A never touched" },
	{ "gup/direct-into-read-only", EVERY_SHAPE, direct_into_read_only,
	  "O_DIRECT into a read-only mapping: EFAULT" },
	{ "gup/direct-from", EVERY_SHAPE, direct_from, "O_DIRECT out of the mapping" },
	{ "gup/pin-delays-truncate", EVERY_SHAPE, pin_delays_truncate,
	  "truncation waits for a page in a pipe" },
	{ "gup/kernel-copies", EVERY_SHAPE, kernel_copies, "read(2) and write(2) buffers" },
	{ "gup/futex", SHARED_ALL, futex_between, "futexes meet across addresses" },
	{ 0 },
};
