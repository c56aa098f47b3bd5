/* SPDX-License-Identifier: GPL-2.0 */
/*
 * unshare: what does it cost a process to do something to a mapping that others share with it?
 *
 * Some processes map one GiB of a file, touch it once per 2 MiB, and stay. Then another one, new
 * for each round, does the same, applies one operation to its mapping (or to itself), and touches
 * what is left of it. Each operation is a phase, announced when its rounds are over:
 *
 *	munmap-part	unmap 2 MiB in the middle
 *	munmap		unmap all of it
 *	mprotect	make 2 MiB in the middle read-only
 *	mremap		move all of it to another gigabyte of addresses
 *	map-fixed	map anonymous memory over 2 MiB in the middle
 *	madvise		MADV_DONTNEED of 2 MiB in the middle
 *	fork		the child touches the mapping
 *	exec		up to the first instruction of the new program
 *	exit		up to where the parent has reaped it
 *
 * Values: what the process paid before, for touching its mapping (fill), what the call cost (call and
 * its ends), what touching the rest cost afterwards (refill) and the faults that took
 * (faults-after). With --companions threads of the process spin on other processors, and the TLB
 * shootdowns of the call (shootdowns) are reported instead of costs, which would contain theirs.
 */
#include <signal.h>

#include "lib/companions.h"
#include "lib/cost.h"
#include "lib/shootdowns.h"
#include "lib/window.h"
#include "lib/workers.h"

/* Odd, for the sake of the median. */
#define ROUNDS 9

#define PART (256 * HUGE_ENTRY)

enum operation {
	MUNMAP_PART,
	MUNMAP,
	MPROTECT,
	MREMAP,
	MAP_OVER,
	MADVISE,
	FORK,
	EXEC,
	EXIT,
	OPERATIONS
};

static const char *const names[OPERATIONS] = {
	[MUNMAP_PART] = "munmap-part",
	[MUNMAP] = "munmap",
	[MPROTECT] = "mprotect",
	[MREMAP] = "mremap",
	[MAP_OVER] = "map-fixed",
	[MADVISE] = "madvise",
	[FORK] = "fork",
	[EXEC] = "exec",
	[EXIT] = "exit",
};

/* A moment on either clock: a program that was just started does not know yet which is right. */
struct moment {
	uint64_t tsc, ns;
};

struct options {
	const char *file;
	size_t sharers;
	size_t entry;
	int companions;
	int fd;
	void *at;
	/* What the rounds of an operation found; in memory that all processes share. */
	struct cost_set fill, call, refill, faults, shootdowns;
	struct moment *began;
	int landed[2];
};

static struct moment moment_now(void)
{
	struct moment now = { .tsc = cost_tsc() };
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	now.ns = time.tv_sec * 1000000000ULL + time.tv_nsec;
	return now;
}

static uint64_t moments_between(struct moment began, struct moment ended)
{
	return cost_shift >= 0 ? (ended.tsc - began.tsc) >> cost_shift : ended.ns - began.ns;
}

static void *map_and_fill(const struct options *options)
{
	void *at = window_map(options->at, GIB, options->fd, 0, PROT_READ | PROT_WRITE, MAP_SHARED,
			      options->entry);

	window_touch(at, GIB, HUGE_ENTRY, true);
	return at;
}

static struct worker_report join(size_t index, int step, const void *context)
{
	(void)index;
	(void)step;
	map_and_fill(context);
	return (struct worker_report){ { 0 } };
}

/* Touch the mapping as it was touched before, but for the part in the middle. */
static void touch_around(char *at)
{
	window_touch(at, PART, HUGE_ENTRY, true);
	window_touch(at + PART + HUGE_ENTRY, GIB - PART - HUGE_ENTRY, HUGE_ENTRY, true);
}

/* What is left of the mapping after an operation. */
static void touch_rest(enum operation operation, char *at)
{
	switch (operation) {
	case MUNMAP_PART:
	case MAP_OVER:
		touch_around(at);
		break;
	case MPROTECT:
		touch_around(at);
		window_touch(at + PART, HUGE_ENTRY, HUGE_ENTRY, false);
		break;
	case MREMAP:
		window_touch(at + GIB, GIB, HUGE_ENTRY, true);
		break;
	case MADVISE:
		window_touch(at, GIB, HUGE_ENTRY, true);
		break;
	default:
		break;
	}
}

static bool operate(enum operation operation, char *at)
{
	switch (operation) {
	case MUNMAP_PART:
		return !munmap(at + PART, HUGE_ENTRY);
	case MUNMAP:
		return !munmap(at, GIB);
	case MPROTECT:
		return !mprotect(at + PART, HUGE_ENTRY, PROT_READ);
	case MREMAP:
		return mremap(at, GIB, GIB, MREMAP_MAYMOVE | MREMAP_FIXED, at + GIB) != MAP_FAILED;
	case MAP_OVER:
		return mmap(at + PART, HUGE_ENTRY, PROT_READ,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED;
	case MADVISE:
		return !madvise(at + PART, HUGE_ENTRY, MADV_DONTNEED);
	default:
		return false;
	}
}

/* The cost and the faults of something that touches what is left. */
static void refill(struct options *options, size_t round, enum operation operation, char *at)
{
	long faults = trial_minor_faults();
	uint64_t began = cost_now();

	touch_rest(operation, at);
	options->refill.values[round] = cost_since(began);
	options->faults.values[round] = trial_minor_faults() - faults;
}

static void do_fork(struct options *options, size_t round, char *at)
{
	uint64_t began = cost_now();
	pid_t child = fork();

	if (child < 0)
		trial_fail("fork: %s", strerror(errno));
	if (!child) {
		cost_prefault(&options->refill);
		cost_prefault(&options->faults);
		cost_prefault_code();
		trial_prefault();
		refill(options, round, MADVISE, at);
		_exit(0);
	}
	options->call.values[round] = cost_since(began);
	trial_wait(child, "the child of a fork");
}

static void do_exec(struct options *options)
{
	char descriptor[16];
	char *const argv[] = { "unshare", "--landed", descriptor, NULL };

	snprintf(descriptor, sizeof(descriptor), "%d", options->landed[1]);
	*options->began = moment_now();
	execv("/proc/self/exe", argv);
	trial_fail("exec: %s", strerror(errno));
}

/* The life of one process, in one round. */
static _Noreturn void act(struct options *options, size_t round, enum operation operation)
{
	struct companions companions;
	uint64_t began;
	long before;
	char *at;
	struct cost_set *const sets[] = { &options->fill, &options->call, &options->refill,
					  &options->faults, &options->shootdowns };

	for (size_t i = 0; i < ARRAY_SIZE(sets); i++)
		cost_prefault(sets[i]);
	cost_prefault_code();
	trial_prefault();
	if (!options->companions)
		cost_run_fifo();
	began = cost_now();
	at = map_and_fill(options);
	options->fill.values[round] = cost_since(began);
	companions_start(&companions, options->companions);
	before = shootdowns();
	switch (operation) {
	case FORK:
		do_fork(options, round, at);
		break;
	case EXEC:
		do_exec(options);
		break;
	case EXIT:
		*options->began = moment_now();
		_exit(0);
	default:
		began = cost_now();
		if (!operate(operation, at))
			trial_fail("%s: %s", names[operation], strerror(errno));
		options->call.values[round] = cost_since(began);
	}
	options->shootdowns.values[round] = shootdowns() - before;
	companions_stop(&companions);
	if (operation != FORK)
		refill(options, round, operation, at);
	_exit(0);
}

static void run_round(struct options *options, size_t round, enum operation operation)
{
	struct moment ended;
	pid_t pid;

	options->refill.values[round] = options->faults.values[round] = 0;
	pid = fork();
	if (!pid)
		act(options, round, operation);
	trial_wait(pid, names[operation]);
	ended = moment_now();
	if (operation == EXEC && read(options->landed[0], &ended, sizeof(ended)) != sizeof(ended))
		trial_fail("the new program did not report when it began");
	if (operation == EXEC || operation == EXIT)
		options->call.values[round] = moments_between(*options->began, ended);
}

static void measure(struct options *options, const struct workers *workers,
		    enum operation operation)
{
	for (size_t round = 0; round < ROUNDS; round++)
		run_round(options, round, operation);
	trial_phase(names[operation], workers->pids, workers->size);
	trial_value("faults-after", "count", cost_median(&options->faults, ROUNDS));
	if (!options->companions) {
		cost_value("fill", cost_median(&options->fill, ROUNDS));
		cost_report(&options->call, ROUNDS, "call");
		cost_value("refill", cost_median(&options->refill, ROUNDS));
	} else if (operation != EXEC && operation != EXIT) {
		trial_value("shootdowns", "count", cost_median(&options->shootdowns, ROUNDS));
	}
}

static void parse(int argc, char **argv, struct options *options)
{
	const struct option_row rows[] = {
		OPTION_TEXT("file", &options->file, NULL, "PATH", "DAX file of at least 1 GiB"),
		OPTION_NUMBER("sharers", &options->sharers, "1", 1, 4096,
			      "processes that map it, the changing one included"),
		OPTION_CHOICE("entry", &options->entry, "2M", window_entry_sizes, "entry size"),
		OPTION_NUMBER("companions", &options->companions, "0", 0, MAX_COMPANIONS,
			      "threads of the changing process that spin"),
	};

	options_parse(argc, argv, "Change a mapping that others share.", rows, ARRAY_SIZE(rows));
}

/* The program that do_exec() started reports when it began, and nothing else. */
static int land(const char *descriptor, struct moment began)
{
	return write(atoi(descriptor), &began, sizeof(began)) != sizeof(began);
}

int main(int argc, char **argv)
{
	struct moment began = moment_now();
	struct options options = { 0 };
	struct workers workers;

	if (argc == 3 && !strcmp(argv[1], "--landed"))
		return land(argv[2], began);
	parse(argc, argv, &options);
	options.fd = window_open(options.file, GIB, true);
	/* Room to move into. */
	options.at = window_place(2 * GIB, WINDOW_NEAR);
	options.fill = cost_alloc(ROUNDS);
	options.call = cost_alloc(ROUNDS);
	options.refill = cost_alloc(ROUNDS);
	options.faults = cost_alloc(ROUNDS);
	options.shootdowns = cost_alloc(ROUNDS);
	options.began = (struct moment *)cost_alloc(2).values;
	if (pipe(options.landed))
		trial_fail("pipe: %s", strerror(errno));
	cost_calibrate();

	trial_prefault();
	workers_start(&workers, options.sharers - 1, join, &options);
	trial_phase("before", workers.pids, workers.size);
	workers_step(&workers, 0, workers.size, 0);
	trial_phase("joined", workers.pids, workers.size);
	trial_value("samples", "count", ROUNDS);

	/* Rounds are children that come and go; no worker has died. */
	signal(SIGCHLD, SIG_DFL);
	cost_run_fifo();
	for (int operation = 0; operation < OPERATIONS; operation++)
		measure(&options, &workers, operation);

	workers_stop(&workers);
	return 0;
}
