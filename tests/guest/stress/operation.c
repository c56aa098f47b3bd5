/* SPDX-License-Identifier: GPL-2.0 */
#include "operation.h"
#include "actor.h"
#include "../lib/observe.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

static struct truth *truth(void)
{
	return &arena->truth;
}

static struct mapping *draw_mapping(struct actor *a)
{
	return &a->mappings[draw(&a->random, a->mapping_count)];
}

static void *at(const struct mapping *m, int place, struct range range)
{
	return (void *)(m->address[place] + range.start);
}

/* All spots of @range that are seen at @place get another view. */
static void forget(struct mapping *m, int place, struct range range)
{
	for (int s = 0; s < SPOTS; s++)
		if (spot_in(s, range) && m->views[s].place == place)
			m->views[s] = (struct view){ NOTHING, place, 0, { false, 0 } };
}

static void unmap_range(struct actor *a, struct mapping *m, int place, struct range range)
{
	change_begins(a);
	if (munmap(at(m, place, range), range.length))
		fail(a->process, "munmap: %s", strerror(errno));
	forget(m, place, range);
	change_ends(a);
}

/* ---- Mappings ---------------------------------------------------------- */

static void map_range(struct actor *a, struct mapping *m, struct range range)
{
	int place = draw(&a->random, 2), protection = PROT_READ;
	enum access access = LOADS;
	void *got;

	if (draw(&a->random, 4)) {
		protection |= PROT_WRITE;
		access = STORES;
	}
	unmap_range(a, m, !place, range);
	change_begins(a);
	got = mmap(at(m, place, range), range.length, protection,
		   (m->private ? MAP_PRIVATE | MAP_NORESERVE : MAP_SHARED) | MAP_FIXED,
		   truth()->file[m->file].fd, range.start);
	if (got == MAP_FAILED)
		fail(a->process, "mmap: %s", strerror(errno));
	for (int s = 0; s < SPOTS; s++)
		if (spot_in(s, range))
			m->views[s] = (struct view){ access, place, 0, { false, 0 } };
	change_ends(a);
	if (!draw(&a->random, 3))
		madvise(got, range.length, MADV_NOHUGEPAGE);
}

static void op_map(struct actor *a)
{
	map_range(a, draw_mapping(a), draw_range(&a->random));
}

static void op_map_whole(struct actor *a)
{
	map_range(a, draw_mapping(a), (struct range){ 0, FILE_BYTES });
}

static void op_unmap(struct actor *a)
{
	unmap_range(a, draw_mapping(a), draw(&a->random, 2), draw_range(&a->random));
}

static void op_protect(struct actor *a)
{
	static const int protections[] = { PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE };
	struct mapping *m = draw_mapping(a);
	struct range range = draw_range(&a->random);
	int place = draw(&a->random, 2), which = draw(&a->random, 3);

	change_begins(a);
	if (!mprotect(at(m, place, range), range.length, protections[which])) {
		for (int s = 0; s < SPOTS; s++)
			if (spot_in(s, range) && m->views[s].place == place)
				m->views[s].access = NO_ACCESS + which;
	} else if (errno == ENOMEM) {
		/* Done up to some hole: away with all of it, then it is known again. */
		munmap(at(m, place, range), range.length);
		forget(m, place, range);
	} else {
		fail(a->process, "mprotect: %s", strerror(errno));
	}
	change_ends(a);
}

static void op_move(struct actor *a)
{
	struct mapping *m = draw_mapping(a);
	struct range range = draw_range(&a->random);
	int from = draw(&a->random, 2), flags = MREMAP_MAYMOVE | MREMAP_FIXED;
	bool dont_unmap = !draw(&a->random, 4);
	void *got;

	change_begins(a);
	got = mremap(at(m, from, range), range.length, range.length,
		     flags | (dont_unmap ? MREMAP_DONTUNMAP : 0), at(m, !from, range));
	forget(m, !from, range);
	if (got == MAP_FAILED) {
		/* It failed because of a hole, before or after it made room. */
		munmap(at(m, !from, range), range.length);
	} else {
		if (dont_unmap)
			munmap(at(m, from, range), range.length);
		for (int s = 0; s < SPOTS; s++)
			if (spot_in(s, range))
				m->views[s].place = !from;
	}
	change_ends(a);
}

/* mremap to half the size is munmap of the other half. */
static void op_shrink(struct actor *a)
{
	struct mapping *m = draw_mapping(a);
	struct range range = draw_range(&a->random), rest;
	int place = draw(&a->random, 2);
	uint64_t half = range.length / 2 / PAGE * PAGE;

	if (!half)
		return;
	rest = (struct range){ range.start + half, range.length - half };
	change_begins(a);
	if (mremap(at(m, place, range), range.length, half, 0) == MAP_FAILED)
		munmap(at(m, place, rest), rest.length);
	forget(m, place, rest);
	change_ends(a);
}

/* Advice that may split and merge vmas but must not change what is seen. */
static void op_advise(struct actor *a)
{
	static const int advices[] = {
		MADV_NORMAL,  MADV_RANDOM,   MADV_SEQUENTIAL, MADV_WILLNEED, MADV_COLD,
		MADV_PAGEOUT, MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_DONTDUMP, MADV_DODUMP,
	};
	struct range range = draw_range(&a->random);
	int advice = advices[draw(&a->random, sizeof(advices) / sizeof(*advices))];

	madvise(at(draw_mapping(a), draw(&a->random, 2), range), range.length, advice);
}

static void op_dontneed(struct actor *a)
{
	struct mapping *m = draw_mapping(a);
	struct range range = draw_range(&a->random);
	int place = draw(&a->random, 2);

	change_begins(a);
	madvise(at(m, place, range), range.length, MADV_DONTNEED);
	for (int s = 0; s < SPOTS; s++)
		if (spot_in(s, range) && m->views[s].place == place)
			m->views[s].copy = 0;
	change_ends(a);
}

/* Small ranges, and for stores only shared ones: a private one would copy the file's words. */
static void op_populate(struct actor *a)
{
	struct mapping *m = draw_mapping(a);
	struct range range = { draw(&a->random, 4) * 256 * UNIT, UNIT };
	bool stores = !m->private && !draw(&a->random, 3);

	madvise(at(m, draw(&a->random, 2), range), range.length,
		stores ? MADV_POPULATE_WRITE : MADV_POPULATE_READ);
}

static void op_mlock(struct actor *a)
{
	struct mapping *m = draw_mapping(a);
	struct range range = { draw(&a->random, 4) * 256 * UNIT, UNIT };
	void *address = at(m, draw(&a->random, 2), range);

	/* Locking a writable private mapping copies it. */
	if (m->private)
		return;
	mlock(address, range.length);
	munlock(address, range.length);
}

/* ---- Accesses ---------------------------------------------------------- */

static void op_load(struct actor *a)
{
	for (int i = 0; i < 16; i++)
		load_spot(a, draw_mapping(a), draw(&a->random, SPOTS), a->seen);
}

static void op_load_all(struct actor *a)
{
	struct mapping *m = draw_mapping(a);

	for (int s = 0; s < SPOTS; s++)
		load_spot(a, m, s, a->seen);
}

static void op_store(struct actor *a)
{
	for (int i = 0; i < 16; i++)
		store_spot(a, draw_mapping(a), draw(&a->random, SPOTS));
}

/* A spot that is ours to store, through write(2). */
static int draw_own(struct actor *a, int *file)
{
	int spot, tries = 64;

	do {
		*file = draw(&a->random, truth()->files);
		spot = draw(&a->random, SPOTS);
	} while (spot_owner(truth(), *file, spot) != a->process && --tries);
	return tries ? spot : -1;
}

/* An owner's store by other means than an instruction; @means returns true if it was done. */
static void store_by(struct actor *a, int file, int spot,
		     bool (*means)(struct actor *, int, int, uint64_t))
{
	struct file_truth *f = &truth()->file[file];
	struct spot *s = &f->spots[spot];
	struct calm before;
	uint32_t sequence;

	if (atomic_exchange(&s->busy, 1))
		return;
	before = calm_now(f);
	sequence = store_reserve(s);
	copy_begins(s);
	if (means(a, file, spot, shared_word(file, spot, sequence)))
		store_publish(f, spot, sequence, before);
	copy_ends(s);
	atomic_store(&s->busy, 0);
}

/* Only one at a time, or nobody would know where the end is. */
static bool may_resize(struct actor *a, struct file_truth *f)
{
	int nobody = 0;

	return atomic_compare_exchange_strong(&f->resizing, &nobody, a->process + 1);
}

/* Not beyond the end, and the end stays where it is: a write there would move it. */
static bool by_write(struct actor *a, int file, int spot, uint64_t word)
{
	struct file_truth *f = &truth()->file[file];
	bool done;

	if (!may_resize(a, f))
		return false;
	atomic_store(&f->spots[spot].written, word_sequence(word));
	done = spot_offset(spot) < atomic_load(&f->size) &&
	       pwrite(f->fd, &word, sizeof(word), spot_offset(spot)) == sizeof(word);
	atomic_store(&f->resizing, 0);
	return done;
}

static void op_write(struct actor *a)
{
	int file, spot = draw_own(a, &file);

	if (spot >= 0)
		store_by(a, file, spot, by_write);
}

static void op_read(struct actor *a)
{
	int file = draw(&a->random, truth()->files), spot = draw(&a->random, SPOTS);
	const struct file_truth *f = &truth()->file[file];
	struct expectation before = expect_before(f, spot);
	const char *wrong;
	uint64_t word = 0;
	ssize_t got = pread(f->fd, &word, sizeof(word), spot_offset(spot));

	if (got <= 0)
		return;
	wrong = judge(truth(), file, spot, word, before, BY_COPY, &a->seen[file][spot]);
	if (wrong)
		fail(a->process, "read(2): %s, file %d spot %d word %#llx published %#llx", wrong,
		     file, spot, (unsigned long long)word, (unsigned long long)before.published);
}

/* A view of one of our own spots that allows stores, through a shared mapping. */
static struct mapping *own_view(struct actor *a, int *spot)
{
	int file;

	*spot = draw_own(a, &file);
	for (int k = 0; *spot >= 0 && k < KINDS - 1; k++) {
		struct mapping *m = &a->mappings[file * KINDS + k];

		if (m->views[*spot].access == STORES)
			return m;
	}
	return NULL;
}

static uint64_t target; /* of the store under way */

static bool by_proc_mem(struct actor *a, int file, int spot, uint64_t word)
{
	int fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	bool done = pwrite(fd, &word, sizeof(word), target) == sizeof(word);

	(void)a, (void)file, (void)spot;
	close(fd);
	return done;
}

static bool by_direct_read(struct actor *a, int file, int spot, uint64_t word)
{
	static uint64_t block[512] __attribute__((aligned(4096)));
	off_t place = a->process * PAGE;

	(void)file, (void)spot;
	block[0] = word;
	return pwrite(a->raw_fd, block, PAGE, place) == (ssize_t)PAGE &&
	       pread(a->raw_fd, (void *)target, PAGE, place) == (ssize_t)PAGE;
}

/* A child that is traced and has the same mapping: store through it. */
static bool by_poke(struct actor *a, int file, int spot, uint64_t word)
{
	bool done = false;
	int status;
	pid_t pid = fork();

	(void)a, (void)file, (void)spot;
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		_exit(0);
	}
	if (pid < 0)
		return false;
	if (waitpid(pid, &status, 0) == pid && WIFSTOPPED(status))
		done = !ptrace(PTRACE_POKEDATA, pid, target, word);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return done;
}

static void store_through(struct actor *a, bool (*means)(struct actor *, int, int, uint64_t))
{
	int spot;
	struct mapping *m = own_view(a, &spot);

	if (!m)
		return;
	target = m->address[m->views[spot].place] + spot_offset(spot);
	store_by(a, m->file, spot, means);
}

static void op_proc_mem(struct actor *a)
{
	store_through(a, by_proc_mem);
}

static void op_direct_into(struct actor *a)
{
	if (a->raw_fd >= 0)
		store_through(a, by_direct_read);
}

static void op_poke(struct actor *a)
{
	store_through(a, by_poke);
}

static void op_direct_from(struct actor *a)
{
	struct mapping *m = draw_mapping(a);
	int spot = draw(&a->random, SPOTS);

	if (a->raw_fd >= 0)
		pin_spot(a, m, spot, (MAX_PROCESSES + a->process) * PAGE, a->seen);
}

/* ---- Files ------------------------------------------------------------- */

static void op_truncate(struct actor *a)
{
	int file = draw(&a->random, truth()->files);
	struct file_truth *f = &truth()->file[file];
	uint64_t size = draw(&a->random, 4) * (GIB / 2) + draw(&a->random, 4) * PAGE;

	if (!may_resize(a, f))
		return;
	if (draw(&a->random, 2))
		size = FILE_BYTES;
	destruction_begins(f, a->process);
	if (ftruncate(f->fd, size))
		fail(a->process, "ftruncate: %s", strerror(errno));
	atomic_store(&f->size, size);
	destruction_ends(f, a->process);
	atomic_store(&f->resizing, 0);
}

static void op_punch(struct actor *a)
{
	struct file_truth *f = &truth()->file[draw(&a->random, truth()->files)];
	struct range range = draw_range(&a->random);
	int mode = draw(&a->random, 3) ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE;

	destruction_begins(f, a->process);
	if (fallocate(f->fd, mode | FALLOC_FL_KEEP_SIZE, range.start, range.length) &&
	    errno != ENOSPC)
		fail(a->process, "fallocate: %s", strerror(errno));
	destruction_ends(f, a->process);
}

static void op_allocate(struct actor *a)
{
	const struct file_truth *f = &truth()->file[draw(&a->random, truth()->files)];
	struct range range = draw_range(&a->random);

	/* Small ranges only: the device is not large. */
	if (range.length <= 4 * UNIT)
		fallocate(f->fd, FALLOC_FL_KEEP_SIZE, range.start, range.length);
}

static void op_flush(struct actor *a)
{
	int fd = truth()->file[draw(&a->random, truth()->files)].fd;
	struct range range = { 0, UNIT };

	switch (draw(&a->random, 4)) {
	case 0:
		fsync(fd);
		break;
	case 1:
		sync_file_range(fd, 0, FILE_BYTES,
				SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
		break;
	case 2:
		msync(at(draw_mapping(a), draw(&a->random, 2), range), UNIT, MS_SYNC);
		break;
	default:
		fdatasync(fd);
		break;
	}
}

/* ---- Processes and /proc ----------------------------------------------- */

static void child(struct actor *a)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (uint64_t i = draw(&a->random, 8); i; i--) {
		op_load(a);
		if (!draw(&a->random, 3))
			op_unmap(a);
		if (!draw(&a->random, 3))
			op_protect(a);
		if (!draw(&a->random, 3))
			op_store(a);
	}
	switch (draw(&a->random, 3)) {
	case 0:
		execl("/proc/self/exe", "stress", "--nothing", (char *)NULL);
		_exit(1);
	case 1:
		kill(getpid(), SIGKILL);
	}
	_exit(0);
}

static void op_fork(struct actor *a)
{
	int status = 0;
	pid_t pid;

	/* A child's stores are its own: parent and child draw the same numbers otherwise. */
	uint64_t random = draw(&a->random, 1ULL << 31) * 2 + 1;

	pid = fork();
	if (pid == 0) {
		a->random = random;
		child(a);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return;
	if (WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status) != SIGKILL)
		fail(a->process, "a child ended with status %#x", status);
}

static void op_proc(struct actor *a)
{
	static const char *const files[] = {
		"/proc/self/smaps",	"/proc/self/smaps_rollup",
		"/proc/self/numa_maps", "/proc/self/maps",
		"/proc/vmstat",		"/proc/meminfo",
	};
	struct mapping *m = draw_mapping(a);
	int spot = draw(&a->random, SPOTS);
	unsigned char vector;

	switch (draw(&a->random, 4)) {
	case 0:
		read_text(files[draw(&a->random, sizeof(files) / sizeof(*files))]);
		break;
	case 1:
		pagemap_entry(getpid(), m->address[m->views[spot].place] + spot_offset(spot));
		break;
	case 2:
		mincore((void *)(m->address[m->views[spot].place] + spot_offset(spot)), PAGE,
			&vector);
		break;
	default:
		write_text("/proc/self/clear_refs", draw(&a->random, 2) ? "1" : "4");
		break;
	}
}

static const struct operation {
	const char *name;
	unsigned int weight;
	void (*run)(struct actor *a);
} operations[] = {
	{ "load", 200, op_load },
	{ "load-all", 60, op_load_all },
	{ "store", 200, op_store },
	{ "write", 20, op_write },
	{ "read", 40, op_read },
	{ "proc-mem", 6, op_proc_mem },
	{ "direct-into", 10, op_direct_into },
	{ "direct-from", 10, op_direct_from },
	{ "poke", 4, op_poke },
	{ "map", 20, op_map },
	{ "map-whole", 30, op_map_whole },
	{ "unmap", 12, op_unmap },
	{ "protect", 20, op_protect },
	{ "move", 12, op_move },
	{ "shrink", 6, op_shrink },
	{ "advise", 15, op_advise },
	{ "dontneed", 8, op_dontneed },
	{ "populate", 6, op_populate },
	{ "mlock", 3, op_mlock },
	{ "truncate", 3, op_truncate },
	{ "punch", 5, op_punch },
	{ "allocate", 5, op_allocate },
	{ "flush", 15, op_flush },
	{ "fork", 8, op_fork },
	{ "proc", 8, op_proc },
};
#define OPERATIONS ((int)(sizeof(operations) / sizeof(*operations)))

const char *operation_name(int index)
{
	return index < OPERATIONS ? operations[index].name : NULL;
}

static bool choosing, chosen[OPERATIONS];

bool operate_only(const char *name)
{
	for (int i = 0; i < OPERATIONS; i++)
		if (!strcmp(operations[i].name, name))
			return choosing = chosen[i] = true;
	return false;
}

static unsigned int weight(int operation)
{
	return choosing && !chosen[operation] ? 0 : operations[operation].weight;
}

void operate(struct actor *a, char *trace, size_t size)
{
	uint64_t before = a->random, total = 0, drawn;
	int i;

	for (i = 0; i < OPERATIONS; i++)
		total += weight(i);
	drawn = draw(&a->random, total);
	for (i = 0; drawn >= weight(i); i++)
		drawn -= weight(i);
	snprintf(trace, size, "%s at random state %#llx", operations[i].name,
		 (unsigned long long)before);
	operations[i].run(a);
	atomic_fetch_add(&arena->counts[i], 1);
}

void operate_first(struct actor *a)
{
	for (int i = 0; i < a->mapping_count; i++)
		if (draw(&a->random, 3))
			map_range(a, &a->mappings[i], (struct range){ 0, FILE_BYTES });
}

void exit_group(void)
{
	exit(0);
}
