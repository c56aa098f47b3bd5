/* SPDX-License-Identifier: GPL-2.0 */
/*
 * ordinary: what do everyday operations cost on memory whose page tables cannot be shared?
 *
 * A mapping is made, filled by faults, protected, inherited by fork, and unmapped or left to exit;
 * each step many times, in new processes. Kinds of memory:
 *
 *	anonymous	memory of the process's own
 *	page-cache	a shared mapping of a file in the page cache
 *	dax-2M		a shared mapping of a DAX file, by 2 MiB entries
 *	dax-4K		the same by 4 KiB entries
 *
 * All mappings are smaller than a gigabyte: no page table can be shared. Phases are `before` and
 * `done`. Values: what one mmap, fault (in the middle by cost), mprotect, munmap, fork with the
 * mapping and exit with it cost, each with its ends.
 */
#include "lib/cost.h"
#include "lib/window.h"

/* Odd, for the sake of the median. */
#define ROUNDS 31

/* Entries that each mapping has. */
#define ENTRIES 64

enum memory { ANONYMOUS, PAGE_CACHE, DAX_2M, DAX_4K };

static const struct option_choice memories[] = {
	{ "anonymous", ANONYMOUS },
	{ "page-cache", PAGE_CACHE },
	{ "dax-2M", DAX_2M },
	{ "dax-4K", DAX_4K },
	{ 0 },
};

enum step { MMAP, FAULT, MPROTECT, FORK, MUNMAP, EXIT, STEPS };

static const char *const steps[STEPS] = { "mmap", "fault", "mprotect", "fork", "munmap", "exit" };

struct options {
	const char *file;
	enum memory memory;
	int fd;
	struct cost_set costs[STEPS];
	/* When the process of a round began to exit. */
	uint64_t *exited;
};

static size_t entry_size(enum memory memory)
{
	return memory == DAX_2M ? HUGE_ENTRY : SMALL_ENTRY;
}

/* Measure the faults, and put the one in the middle where one sample of a round goes. */
static void fault(struct options *options, size_t round, volatile char *at)
{
	static uint64_t each[ENTRIES];

	for (size_t i = 0; i < ENTRIES; i++) {
		uint64_t began = cost_now();

		at[i * entry_size(options->memory)] = 1;
		each[i] = cost_since(began);
	}
	cost_sort(each, ENTRIES);
	options->costs[FAULT].values[round] = each[ENTRIES / 2];
}

static void fork_once(struct options *options, size_t round)
{
	uint64_t began = cost_now();
	pid_t child = fork();

	if (!child)
		_exit(0);
	options->costs[FORK].values[round] = cost_since(began);
	trial_wait(child, "a child");
}

/* The life of one process; half of them leave the mapping to exit(). */
static _Noreturn void act(struct options *options, size_t round, bool unmap)
{
	enum memory memory = options->memory;
	size_t length = ENTRIES * entry_size(memory);
	int flags = memory == ANONYMOUS ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
	uint64_t began;
	char *at;

	for (int i = 0; i < STEPS; i++)
		cost_prefault(&options->costs[i]);
	cost_prefault_code();
	trial_prefault();
	cost_run_fifo();

	began = cost_now();
	at = mmap(NULL, length, PROT_READ | PROT_WRITE, flags, options->fd, 0);
	options->costs[MMAP].values[round] = cost_since(began);
	if (at == MAP_FAILED)
		trial_fail("mmap: %s", strerror(errno));
	if (memory == DAX_4K && madvise(at, length, MADV_NOHUGEPAGE))
		trial_fail("madvise: %s", strerror(errno));
	fault(options, round, at);
	if (unmap) {
		began = cost_now();
		if (mprotect(at, length, PROT_READ))
			trial_fail("mprotect: %s", strerror(errno));
		options->costs[MPROTECT].values[round] = cost_since(began);
		began = cost_now();
		if (munmap(at, length))
			trial_fail("munmap: %s", strerror(errno));
		options->costs[MUNMAP].values[round] = cost_since(began);
	} else {
		fork_once(options, round);
	}
	*options->exited = cost_now();
	_exit(0);
}

static void measure(struct options *options)
{
	/* Two rounds are not measured: the file system works more on the first use of a file. */
	for (int round = -2; round < ROUNDS; round++) {
		for (int unmap = 1; unmap >= 0; unmap--) {
			pid_t pid = fork();

			if (!pid)
				act(options, round < 0 ? 0 : round, unmap);
			trial_wait(pid, "a process");
		}
		options->costs[EXIT].values[round < 0 ? 0 : round] = cost_since(*options->exited);
	}
	trial_phase("done", NULL, 0);
	trial_value("samples", "count", ROUNDS);
	for (int step = 0; step < STEPS; step++)
		cost_report(&options->costs[step], ROUNDS, steps[step]);
}

static void parse(int argc, char **argv, struct options *options)
{
	const struct option_row rows[] = {
		OPTION_CHOICE("memory", &options->memory, NULL, memories, "what is mapped"),
		OPTION_TEXT("file", &options->file, "", "PATH",
			    "a new file for page-cache, a DAX file for dax-2M and dax-4K"),
	};

	options_parse(argc, argv,
		      "Cost of mmap, fault, fork and so on where no page table can be shared.",
		      rows, ARRAY_SIZE(rows));
	if (options->memory == ANONYMOUS && options->file)
		options_refuse("--memory anonymous has no --file");
	if (options->memory != ANONYMOUS && !options->file)
		options_refuse("--file is required");
}

static int open_memory(const struct options *options)
{
	int fd;

	if (options->memory == ANONYMOUS)
		return -1;
	if (options->memory != PAGE_CACHE)
		return window_open(options->file, ENTRIES * HUGE_ENTRY, true);
	fd = open(options->file, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, ENTRIES * SMALL_ENTRY))
		trial_fail("%s: %s", options->file, strerror(errno));
	return fd;
}

int main(int argc, char **argv)
{
	struct options options = { 0 };

	parse(argc, argv, &options);
	options.fd = open_memory(&options);
	for (int i = 0; i < STEPS; i++)
		options.costs[i] = cost_alloc(ROUNDS);
	options.exited = cost_alloc(1).values;
	cost_calibrate();
	cost_prefault_code();
	trial_prefault();
	cost_run_fifo();

	trial_phase("before", NULL, 0);
	measure(&options);
	return 0;
}
