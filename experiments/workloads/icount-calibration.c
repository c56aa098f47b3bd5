/* SPDX-License-Identifier: GPL-2.0 */
/*
 * icount-calibration: are instructions counted right, and the same each time?
 *
 * A loop of known length is counted by the clock of cost.h like any other piece of code, and two
 * pieces of the kernel are, whose length nobody knows beforehand. Phase `counted`; values:
 *
 *	clock		what it takes to look at the clock, subtracted from all others
 *	loop		a loop of two instructions, TURNS times round, and one that loads the counter
 *	call		a system call that does next to nothing
 *	fault		the first access to a page of a file, mapped by 4 KiB entries
 *
 * and for all but the first, the ends of their ranges: fault-least, fault-most.
 */
#include "lib/cost.h"
#include "lib/options.h"
#include "lib/window.h"

/* Odd, for the sake of the median; and so short that few of them contain a timer interrupt. */
#define ROUNDS 101
#define TURNS  1000

static void count_loop(struct cost_set *set)
{
	for (size_t i = 0; i < ROUNDS; i++) {
		uint64_t began = cost_now();
		unsigned int turns;

		asm volatile("mov %1, %0\n"
			     "1:\tdec %0\n"
			     "\tjnz 1b"
			     : "=&r"(turns)
			     : "i"(TURNS)
			     : "cc");
		set->values[i] = cost_since(began);
	}
	cost_report(set, ROUNDS, "loop");
}

static void count_call(struct cost_set *set)
{
	for (size_t i = 0; i < ROUNDS; i++) {
		uint64_t began = cost_now();

		getppid();
		set->values[i] = cost_since(began);
	}
	cost_report(set, ROUNDS, "call");
}

static void count_faults(struct cost_set *set, const char *file)
{
	int fd = window_open(file, HUGE_ENTRY, true);
	volatile char *at = window_map(NULL, HUGE_ENTRY, fd, 0, PROT_READ | PROT_WRITE, MAP_SHARED,
				       SMALL_ENTRY);

	/* The tables above the entries are not what is measured. */
	at[ROUNDS * SMALL_ENTRY] = 1;
	for (size_t i = 0; i < ROUNDS; i++) {
		uint64_t began = cost_now();

		at[i * SMALL_ENTRY] = 1;
		set->values[i] = cost_since(began);
	}
	cost_report(set, ROUNDS, "fault");
}

int main(int argc, char **argv)
{
	const char *file;
	const struct option_row rows[] = {
		OPTION_TEXT("file", &file, NULL, "PATH", "DAX file of at least 2 MiB"),
	};
	struct cost_set set;
	pid_t self = getpid();

	options_parse(argc, argv, "Count instructions of code whose length is known.", rows,
		      ARRAY_SIZE(rows));
	set = cost_alloc(ROUNDS);
	trial_prefault();
	cost_prefault_code();
	cost_prefault(&set);
	cost_calibrate();

	trial_phase("counted", &self, 1);
	cost_value("clock", cost_overhead);
	count_loop(&set);
	count_call(&set);
	count_faults(&set, file);
	return 0;
}
