/* SPDX-License-Identifier: GPL-2.0 */
/*
 * contend: what happens when many processes map, fault, fork and unmap the same file at once?
 *
 * One process maps a GiB of the file, touches it once per 2 MiB and sleeps, so that there is a
 * table to share. The others work side by side on as many processors as there are:
 *
 *	fault	each maps the GiB, touches 16 places in it, and unmaps it, over and over
 *	fork	each has mapped it; over and over it forks a child that touches 16 places and exits
 *	mixed	half of them do the one, half the other
 *
 * Phases are `ready` and `worked`. Values in the last: what was done (workers, operations), the
 * locks that were not free and how often somebody slept for one (lockevents.h), the faults taken
 * (minor-faults), and TLB shootdowns (shootdowns). Where the clock means something also what all of
 * it cost (work).
 */
#include <cpuid.h>
#include <getopt.h>

#include "cost.h"
#include "workers.h"
#include "lockevents.h"
#include "shootdowns.h"
#include "window.h"

enum { STEP_SETTLE, STEP_WORK };

#define PLACES 16

enum load { FAULT, FORK, MIXED, LOADS };

static const char *const loads[LOADS] = { "fault", "fork", "mixed" };

struct options {
	const char *file;
	size_t workers, rounds;
	enum load load;
	int fd;
	void *at;
};

static const char usage[] = "usage: contend --file PATH [--workers N] [--rounds N]\n"
			    "               [--load fault|fork|mixed]\n";

/* The first worker only holds the table. */
enum { HOLDER, FIRST };

static bool forks(const struct options *options, size_t index)
{
	return options->load == FORK || (options->load == MIXED && index % 2);
}

static void *map(const struct options *options)
{
	return window_map(options->at, GIB, options->fd, 0, PROT_READ | PROT_WRITE, MAP_SHARED,
			  HUGE_ENTRY);
}

static void fault_once(const struct options *options)
{
	void *at = map(options);

	window_touch(at, GIB, GIB / PLACES, true);
	if (munmap(at, GIB))
		trial_fail("munmap: %s", strerror(errno));
}

static void fork_once(void *at)
{
	pid_t child = fork();
	int status;

	if (child < 0)
		trial_fail("fork: %s", strerror(errno));
	if (!child) {
		window_touch(at, GIB, GIB / PLACES, true);
		_exit(0);
	}
	if (waitpid(child, &status, 0) != child || status)
		trial_fail("a child ended with wait status 0x%x", status);
}

static struct worker_report work(size_t index, int step, const void *context)
{
	const struct options *options = context;
	struct worker_report report = { { 0 } };
	struct rusage before, after, children;
	bool forking = forks(options, index);
	static void *at;

	if (step == STEP_SETTLE) {
		cost_settle_code();
		if (index == HOLDER || forking)
			at = map(options);
		if (index == HOLDER)
			window_touch(at, GIB, HUGE_ENTRY, true);
		return report;
	}
	getrusage(RUSAGE_SELF, &before);
	for (size_t round = 0; round < options->rounds; round++) {
		if (forking)
			fork_once(at);
		else
			fault_once(options);
	}
	getrusage(RUSAGE_SELF, &after);
	getrusage(RUSAGE_CHILDREN, &children);
	/* A child's life begins at nought, and all children here are those of the rounds. */
	report.numbers[0] = after.ru_minflt - before.ru_minflt + children.ru_minflt;
	return report;
}

/* Does the clock count something? Not where QEMU translates without counting instructions. */
static bool clock_is_true(void)
{
	unsigned int highest, signature[4] = { 0 };

	if (cost_shift >= 0)
		return true;
	__cpuid(0x40000000, highest, signature[0], signature[1], signature[2]);
	return strcmp((char *)signature, "TCGTCGTCGTCG");
}

static void parse(int argc, char **argv, struct options *options)
{
	static const struct option known[] = {
		{ "file", required_argument, NULL, 'f' },
		{ "workers", required_argument, NULL, 'w' },
		{ "rounds", required_argument, NULL, 'r' },
		{ "load", required_argument, NULL, 'l' },
		{ 0 },
	};
	int option, load;

	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (option) {
		case 'f':
			options->file = optarg;
			break;
		case 'w':
			options->workers = window_parse_number("workers", optarg, 1024);
			break;
		case 'r':
			options->rounds = window_parse_number("rounds", optarg, 1000000);
			break;
		case 'l':
			for (load = 0; load < LOADS && strcmp(optarg, loads[load]); load++)
				;
			if (load == LOADS)
				trial_fail("--load %s: it is fault, fork or mixed", optarg);
			options->load = load;
			break;
		default:
			fputs(usage, stderr);
			exit(2);
		}
	}
	if (!options->file || optind != argc) {
		fputs(usage, stderr);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	struct options options = { .workers = 8, .rounds = 50, .load = FAULT };
	struct lock_events before, after;
	long faults = 0, flushes;
	struct workers workers;
	uint64_t began;

	parse(argc, argv, &options);
	options.fd = window_open(options.file, GIB, true);
	options.at = window_place(GIB, WINDOW_NEAR);
	cost_open();

	trial_settle();
	workers_start(&workers, FIRST + options.workers, work, &options);
	workers_step(&workers, HOLDER, workers.size, STEP_SETTLE);
	trial_phase("ready", workers.pids, workers.size);

	flushes = shootdowns();
	before = lock_events();
	began = cost_now();
	workers_step(&workers, FIRST, workers.size, STEP_WORK);
	began = cost_since(began);
	after = lock_events();
	flushes = shootdowns() - flushes;
	for (size_t i = FIRST; i < workers.size; i++)
		faults += workers.slots[i].report.numbers[0];
	trial_phase("worked", workers.pids, workers.size);
	trial_value("workers", "count", options.workers);
	trial_value("operations", "count", options.workers * options.rounds);
	trial_value("contended-writes", "count", after.contended_writes - before.contended_writes);
	trial_value("contended-reads", "count", after.contended_reads - before.contended_reads);
	trial_value("contended-spins", "count", after.contended_spins - before.contended_spins);
	trial_value("sleeps", "count", after.sleeps - before.sleeps);
	trial_value("minor-faults", "count", faults);
	trial_value("shootdowns", "count", flushes);
	if (clock_is_true())
		cost_value("work", began);

	workers_stop(&workers);
	return 0;
}
