/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a workload says to whoever measures it.
 *
 *	trial_phase("touched", pids, count);	sample the counters now; returns when done
 *	trial_value("faults", "count", 512);	a number the workload counted itself
 *	trial_fail("worker %d: ...", ...);	say why on stderr and exit with status 1
 *
 * Under the guest agent these travel over the socket TRIAL_FD names; by hand they are printed.
 * The helpers at the end keep the measuring process itself out of the measurement.
 */
#ifndef TRIAL_H
#define TRIAL_H

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

/* Largest message the agent takes: a phase that names some 16,000 processes. */
#define TRIAL_MESSAGE (128 << 10)

__attribute__((format(printf, 1, 2), noreturn)) static inline void trial_fail(const char *format,
									       ...)
{
	va_list arguments;

	fflush(stdout);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	_exit(1);
}

static inline int trial_socket(void)
{
	const char *number = getenv("TRIAL_FD");

	return number ? atoi(number) : -1;
}

static inline void trial_send(const char *message, size_t length)
{
	if (send(trial_socket(), message, length, MSG_NOSIGNAL) != (ssize_t)length)
		trial_fail("telling the agent: %s", strerror(errno));
}

/* Announce a phase and the processes it is about; returns when every counter has been read. */
static inline void trial_phase(const char *name, const pid_t *pids, size_t count)
{
	static char message[TRIAL_MESSAGE];
	size_t used;
	char answer[8];
	ssize_t length;

	if (trial_socket() < 0) {
		printf("phase %s\n", name);
		fflush(stdout);
		return;
	}
	used = snprintf(message, sizeof(message), "phase %s", name);
	for (size_t i = 0; i < count && used < sizeof(message); i++)
		used += snprintf(message + used, sizeof(message) - used, " %d", (int)pids[i]);
	if (used >= sizeof(message))
		trial_fail("phase %s names too many processes: %zu", name, count);
	fflush(stdout);
	trial_send(message, used);
	do {
		length = recv(trial_socket(), answer, sizeof(answer), 0);
	} while (length < 0 && errno == EINTR);
	if (length != 2 || memcmp(answer, "go", 2))
		trial_fail("phase %s: the agent did not answer", name);
}

/* Report a number; it belongs to the phase announced last. Name and unit hold no blanks. */
static inline void trial_value(const char *name, const char *unit, double value)
{
	char message[256];
	int length;

	if (trial_socket() < 0) {
		printf("value %s %.17g %s\n", name, value, unit);
		fflush(stdout);
		return;
	}
	length = snprintf(message, sizeof(message), "value %s %s %.17g", name, unit, value);
	trial_send(message, length);
}

/* Minor page faults this process has taken so far. */
static inline long trial_minor_faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt;
}

/*
 * Fault in what this process is going to use: some stack, the C library's data, the vDSO. Done
 * before the first measured phase, so that no page table of its own appears between two phases.
 */
static inline void trial_settle(void)
{
	volatile char stack[64 << 10];
	struct timespec now;

	for (size_t i = 0; i < sizeof(stack); i += 4096)
		stack[i] = 0;
	clock_gettime(CLOCK_MONOTONIC, &now);
	trial_minor_faults();
}

#endif
