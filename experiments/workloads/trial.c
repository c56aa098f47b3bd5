/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The workload's side of a trial, for shell scripts and other languages:
 *
 *	trial phase NAME [PID ...]
 *	trial value NAME UNIT NUMBER
 *
 * `phase` returns when every counter has been read.
 */
#include "lib/trial.h"

#include <limits.h>
#include <math.h>

static _Noreturn void usage(FILE *file, int status)
{
	fputs("usage: trial phase NAME [PID ...]\n       trial value NAME UNIT NUMBER\n", file);
	exit(status);
}

/* A word of a message: neither empty nor with a blank in it. */
static const char *word(const char *text, const char *what)
{
	if (!*text || strpbrk(text, " \t\n")) {
		fprintf(stderr, "trial: '%s' is no %s: it is empty or holds a blank\n", text, what);
		exit(2);
	}
	return text;
}

static void phase(int count, char *words[])
{
	pid_t pids[count + 1];
	char *end;

	for (int i = 1; i < count; i++) {
		long pid = strtol(words[i], &end, 10);

		if (pid < 1 || pid > INT_MAX || *end) {
			fprintf(stderr, "trial: '%s' is no process\n", words[i]);
			exit(2);
		}
		pids[i - 1] = pid;
	}
	trial_phase(word(words[0], "name"), pids, count - 1);
}

static void value(char *words[])
{
	char *end;
	double number = strtod(words[2], &end);

	if (end == words[2] || *end || !isfinite(number)) {
		fprintf(stderr, "trial: '%s' is no finite number\n", words[2]);
		exit(2);
	}
	trial_value(word(words[0], "name"), word(words[1], "unit"), number);
}

int main(int argc, char *argv[])
{
	if (argc >= 3 && !strcmp(argv[1], "phase"))
		phase(argc - 2, argv + 2);
	else if (argc == 5 && !strcmp(argv[1], "value"))
		value(argv + 2);
	else if (argc == 2 && !strcmp(argv[1], "--help"))
		usage(stdout, 0);
	else
		usage(stderr, 2);
	return 0;
}
