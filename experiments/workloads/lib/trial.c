/* SPDX-License-Identifier: GPL-2.0 */
#include "trial.h"

#include <stdarg.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include "marker.h"

/* Largest message the agent takes: a phase that names some 16,000 processes. */
#define TRIAL_MESSAGE (128 << 10)

void trial_fail(const char *format, ...)
{
	va_list arguments;

	fflush(stdout);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	_exit(1);
}

static int trial_socket(void)
{
	const char *number = getenv("TRIAL_FD");

	return number ? atoi(number) : -1;
}

static void trial_send(const char *message, size_t length)
{
	if (send(trial_socket(), message, length, MSG_NOSIGNAL) != (ssize_t)length)
		trial_fail("cannot send to the agent: %s", strerror(errno));
}

/* Announce a phase to the agent, and wait until it has read every counter. */
static void sample_phase(const char *name, const pid_t *pids, size_t count)
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

void trial_phase(const char *name, const pid_t *pids, size_t count)
{
	asm volatile(MARKER(MARKER_ANNOUNCE)::: "memory");
	sample_phase(name, pids, count);
	asm volatile(MARKER(MARKER_CONTINUE)::: "memory");
}

void trial_value(const char *name, const char *unit, double value)
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

void trial_prefault(void)
{
	volatile char stack[64 << 10];
	struct timespec now;

	for (size_t i = 0; i < sizeof(stack); i += 4096)
		stack[i] = 0;
	clock_gettime(CLOCK_MONOTONIC, &now);
	trial_minor_faults();
}

void trial_wait(pid_t pid, const char *what)
{
	int status;

	if (pid < 0)
		trial_fail("fork: %s", strerror(errno));
	if (waitpid(pid, &status, 0) != pid || status)
		trial_fail("%s ended with wait status 0x%x", what, status);
}
