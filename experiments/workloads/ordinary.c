/* SPDX-License-Identifier: GPL-2.0 */
/*
 * ordinary: what do the things cost that processes do all day with memory nobody can share?
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
#include <getopt.h>

#include "cost.h"
#include "workers.h"
#include "window.h"

/* Odd, for the sake of the median. */
#define ROUNDS 31

/* Entries that each mapping has. */
#define ENTRIES 64

enum memory { ANONYMOUS, PAGE_CACHE, DAX_2M, DAX_4K, MEMORIES };

static const char *const names[MEMORIES] = { "anonymous", "page-cache", "dax-2M", "dax-4K" };

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

static const char usage[] =
	"usage: ordinary --memory anonymous\n"
	"       ordinary --memory page-cache --file NEW\n"
	"       ordinary --memory dax-2M|dax-4K --file DAX\n";

static void wait_for(pid_t pid)
{
	int status;

	if (pid < 0)
		trial_fail("fork: %s", strerror(errno));
	if (waitpid(pid, &status, 0) != pid || status)
		trial_fail("a child ended with wait status 0x%x", status);
}

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
	wait_for(child);
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
		cost_settle(&options->costs[i]);
	cost_settle_code();
	trial_settle();
	cost_run_first();

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
	/* Two rounds that do not count: what the file system does on the first use of a file. */
	for (int round = -2; round < ROUNDS; round++) {
		for (int unmap = 1; unmap >= 0; unmap--) {
			pid_t pid = fork();

			if (!pid)
				act(options, round < 0 ? 0 : round, unmap);
			wait_for(pid);
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
	static const struct option known[] = {
		{ "memory", required_argument, NULL, 'm' },
		{ "file", required_argument, NULL, 'f' },
		{ 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (option == 'm') {
			int memory = 0;

			while (memory < MEMORIES && strcmp(optarg, names[memory]))
				memory++;
			if (memory == MEMORIES)
				trial_fail("--memory %s: it is anonymous, page-cache, dax-2M or dax-4K",
					   optarg);
			options->memory = memory;
		} else if (option == 'f') {
			options->file = optarg;
		} else {
			break;
		}
	}
	if (option != -1 || optind != argc || options->memory == MEMORIES ||
	    !options->file != (options->memory == ANONYMOUS)) {
		fputs(usage, stderr);
		exit(2);
	}
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
	struct options options = { .memory = MEMORIES };

	parse(argc, argv, &options);
	options.fd = open_memory(&options);
	for (int i = 0; i < STEPS; i++)
		options.costs[i] = cost_room(ROUNDS);
	options.exited = cost_room(1).values;
	cost_open();
	cost_settle_code();
	trial_settle();
	cost_run_first();

	trial_phase("before", NULL, 0);
	measure(&options);
	return 0;
}
