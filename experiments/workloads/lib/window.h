/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A window onto a file: where it is mapped, by entries of which size, and whether it really is.
 *
 * Page tables on x86-64, per process, for one GiB mapped at a multiple of 1 GiB and touched once
 * per 2 MiB: one page of PMDs; with 4 KiB entries also 512 pages of PTEs. Above them is one page
 * of PUDs per 512 GiB of addresses, and whether the mapping pays for that depends on its
 * neighbours:
 *
 *	WINDOW_NEAR	in the 512 GiB of the stack, whose page of PUDs exists already: the cost is
 *			exactly 1 or 513 pages per GiB and nothing else
 *	WINDOW_LONELY	far from everything: one page of PUDs more per process
 *	WINDOW_KERNEL	where the kernel chooses; perhaps not at a multiple of 1 GiB
 *
 * With five levels the page of P4Ds above is shared with the stack in every case.
 */
#ifndef WINDOW_H
#define WINDOW_H

#include <fcntl.h>
#include <sys/mman.h>

#include "options.h"
#include "trial.h"

#define KIB (1UL << 10)
#define MIB (1UL << 20)
#define GIB (1UL << 30)

#define SMALL_ENTRY (4 * KIB)
#define HUGE_ENTRY  (2 * MIB)

enum window_place { WINDOW_NEAR, WINDOW_LONELY, WINDOW_KERNEL };

/* For rows of option tables: sizes of entries, and places. */
extern const struct option_choice window_entry_sizes[], window_places[];

/* Entries found present in a range; `zero` are those among them that map the zero page. */
struct window_entries {
	long small, huge, zero;
};

/* Open a file that must hold at least `length` bytes. */
int window_open(const char *path, size_t length, bool write);

/*
 * An address where `length` bytes can be mapped in this process and in children it forks, or NULL
 * to let the kernel choose.
 */
void *window_place(size_t length, enum window_place place);

/* Count the entries that this process has in a range, through its own page tables. */
struct window_entries window_entries(const void *at, size_t length);

/*
 * Map a file range for entries of the given size; `sharing` is MAP_SHARED or MAP_PRIVATE. Private
 * mappings reserve no memory for copies of every page: at most a few are ever written. Inline,
 * because some workloads measure it.
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

/* Access one byte per `step`. Inline, because most workloads measure it. */
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

#endif
