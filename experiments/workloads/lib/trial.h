/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a workload reports, and how it fails.
 *
 *	trial_phase("touched", pids, count);	sample the counters now; returns when done
 *	trial_value("faults", "count", 512);	a number the workload counted itself
 *	trial_fail("worker %d: ...", ...);	say why on stderr and exit with status 1
 *
 * Under the guest agent, messages go to the socket whose descriptor TRIAL_FD names; a workload
 * run by hand prints them.
 */
#ifndef TRIAL_H
#define TRIAL_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <unistd.h>

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

__attribute__((format(printf, 1, 2))) _Noreturn void trial_fail(const char *format, ...);

/* Announce a phase and the processes it is about; returns when every counter has been read. */
void trial_phase(const char *name, const pid_t *pids, size_t count);

/* Report a number; it belongs to the phase announced last. Name and unit hold no blanks. */
void trial_value(const char *name, const char *unit, double value);

/*
 * Fault in what this process is going to use: some stack, the C library's data, the vDSO. Call it
 * before the first measured phase, so that no page table of the process itself appears later.
 */
void trial_prefault(void);

/* Wait for a child that must exit with status 0; `what` names it in the message if it does not. */
void trial_wait(pid_t pid, const char *what);

/* Minor page faults this process has taken so far. */
static inline long trial_minor_faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt;
}

#endif
