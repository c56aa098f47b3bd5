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

#include "lib/cost.h"
#include "lib/lockevents.h"
#include "lib/shootdowns.h"
#include "lib/window.h"
#include "lib/workers.h"

enum { STEP_PREPARE, STEP_WORK };

#define PLACES 16

enum load { FAULT, FORK, MIXED };

static const struct option_choice loads[] = {
	{ "fault", FAULT },
	{ "fork", FORK },
	{ "mixed", MIXED },
	{ 0 },
};

struct options {
	const char *file;
	size_t workers, rounds;
	enum load load;
	int fd;
	void *at;
};

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

	if (!child) {
		window_touch(at, GIB, GIB / PLACES, true);
		_exit(0);
	}
	trial_wait(child, "a child");
}

static struct worker_report work(size_t index, int step, const void *context)
{
	const struct options *options = context;
	struct worker_report report = { { 0 } };
	struct rusage before, after, children;
	bool forking = forks(options, index);
	static void *at;

	if (step == STEP_PREPARE) {
		cost_prefault_code();
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
	/* A child starts at zero faults, and all children here are those of the rounds. */
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
	const struct option_row rows[] = {
		OPTION_TEXT("file", &options->file, NULL, "PATH", "DAX file of at least 1 GiB"),
		OPTION_NUMBER("workers", &options->workers, "8", 1, 1024, "processes that work"),
		OPTION_NUMBER("rounds", &options->rounds, "50", 1, 1000000, "rounds of each"),
		OPTION_CHOICE("load", &options->load, "fault", loads, "what they do"),
	};

	options_parse(argc, argv, "Many processes map, fault, fork and unmap one file at once.",
		      rows, ARRAY_SIZE(rows));
}

int main(int argc, char **argv)
{
	struct options options = { 0 };
	struct lock_events before, after;
	long faults = 0, flushes;
	struct workers workers;
	uint64_t began;

	parse(argc, argv, &options);
	options.fd = window_open(options.file, GIB, true);
	options.at = window_place(GIB, WINDOW_NEAR);
	cost_calibrate();

	trial_prefault();
	workers_start(&workers, FIRST + options.workers, work, &options);
	workers_step(&workers, HOLDER, workers.size, STEP_PREPARE);
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
