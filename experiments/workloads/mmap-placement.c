/* SPDX-License-Identifier: GPL-2.0 */
/*
 * mmap-placement: where does the kernel put a mapping for which no address is requested?
 *
 * A program is started many times, each time with a new layout of its address space. It maps a part
 * of a file where the kernel chooses, touches one byte per gigabyte of it, reports the address, and
 * exits. Phases are `before` and `landed`; the values in the latter:
 *
 *	starts		how often it was started
 *	aligned		how often address and file offset agreed modulo 1 GiB, without which no
 *			page table can be shared
 *	places		different addresses among them
 *	gigabytes	aligned gigabytes of the file within all the mappings of aligned starts
 */
#include "lib/cost.h"
#include "lib/window.h"

struct options {
	const char *file;
	size_t starts;
	size_t offset, length;
	int protection, sharing;
};

/* What a started program does. */
static int map_once(const struct options *options)
{
	int fd = window_open(options->file, options->offset + options->length,
			     options->sharing == MAP_SHARED);
	uintptr_t at = (uintptr_t)mmap(NULL, options->length, options->protection, options->sharing,
				       fd, options->offset);

	if ((void *)at == MAP_FAILED)
		trial_fail("mmap: %s", strerror(errno));
	window_touch((void *)at, options->length, GIB, options->sharing == MAP_SHARED);
	return write(STDOUT_FILENO, &at, sizeof(at)) != sizeof(at);
}

static uintptr_t start(char **argv)
{
	uintptr_t at;
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC))
		trial_fail("pipe: %s", strerror(errno));
	pid = fork();
	if (pid < 0)
		trial_fail("fork: %s", strerror(errno));
	if (!pid) {
		dup2(ends[1], STDOUT_FILENO);
		execv("/proc/self/exe", argv);
		trial_fail("exec: %s", strerror(errno));
	}
	close(ends[1]);
	if (read(ends[0], &at, sizeof(at)) != sizeof(at))
		trial_fail("a program did not report its address");
	close(ends[0]);
	trial_wait(pid, "a program");
	return at;
}

/* Aligned gigabytes of the file that a mapping covers as a whole. */
static long whole_gigabytes(const struct options *options)
{
	size_t first = (options->offset + GIB - 1) / GIB;
	size_t end = (options->offset + options->length) / GIB;

	return end > first ? end - first : 0;
}

static void measure(const struct options *options, char **argv)
{
	struct cost_set places = cost_alloc(options->starts);
	long aligned = 0, different = 1;

	for (size_t i = 0; i < options->starts; i++) {
		places.values[i] = start(argv);
		aligned += (places.values[i] - options->offset) % GIB == 0;
	}
	cost_sort(places.values, options->starts);
	for (size_t i = 1; i < options->starts; i++)
		different += places.values[i] != places.values[i - 1];
	trial_phase("landed", NULL, 0);
	trial_value("starts", "count", options->starts);
	trial_value("aligned", "count", aligned);
	trial_value("places", "count", different);
	trial_value("gigabytes", "count", aligned * whole_gigabytes(options));
}

/* Returns whether this is a start: the program that the first process has executed. */
static bool parse(int argc, char **argv, struct options *options)
{
	bool is_private, is_start;
	const struct option_row rows[] = {
		OPTION_TEXT("file", &options->file, NULL, "PATH", "DAX file"),
		OPTION_NUMBER("starts", &options->starts, "200", 1, 100000, "how often to map it"),
		OPTION_SIZE("offset", &options->offset, "0", 0, 1024 * GIB, SMALL_ENTRY,
			    "where the mapped part begins"),
		OPTION_SIZE("length", &options->length, "1G", 1, 1024 * GIB, 1, "of that part"),
		OPTION_FLAG("private", &is_private, "map privately and read-only"),
		OPTION_FLAG("once", &is_start, "map it and write the address to stdout, in binary"),
	};

	options_parse(argc, argv, "Addresses that the kernel chooses for a mapping.", rows,
		      ARRAY_SIZE(rows));
	options->sharing = is_private ? MAP_PRIVATE : MAP_SHARED;
	options->protection = is_private ? PROT_READ : PROT_READ | PROT_WRITE;
	return is_start;
}

int main(int argc, char **argv)
{
	struct options options = { 0 };
	char **started;

	if (parse(argc, argv, &options))
		return map_once(&options);
	started = calloc(argc + 2, sizeof(*started));
	if (!started)
		trial_fail("no memory");
	memcpy(started, argv, argc * sizeof(*started));
	started[argc] = "--once";
	trial_phase("before", NULL, 0);
	measure(&options, started);
	return 0;
}
