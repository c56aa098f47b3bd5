/* SPDX-License-Identifier: GPL-2.0 */
/*
 * mmap-placement: where does a program's mapping come to lie that does not ask for an address?
 *
 * A program is started many times over, each time with an address space laid out anew. It maps a
 * part of a file wherever the kernel likes, touches one byte per gigabyte of it, says where it is,
 * and exits. Phases are `before` and `landed`; the values in the latter:
 *
 *	starts		how often it was started
 *	aligned		how often address and file offset agreed modulo 1 GiB, without which no
 *			page table can be shared
 *	places		different addresses among them
 *	gigabytes	aligned gigabytes of the file within all the mappings of aligned starts
 */
#include <getopt.h>

#include "cost.h"
#include "workers.h"
#include "window.h"

struct options {
	const char *file;
	size_t starts;
	size_t offset, length;
	int protection, sharing;
};

static const char usage[] =
	"usage: mmap-placement --file PATH [--starts N] [--offset BYTES] [--length BYTES] [--private]\n";

/* What the program that is started does; it gets its orders as the arguments it was given. */
static int land(const struct options *options)
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
	int ends[2], status;
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
		trial_fail("a program did not say where its mapping is");
	close(ends[0]);
	if (waitpid(pid, &status, 0) != pid || status)
		trial_fail("a program ended with wait status 0x%x", status);
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
	struct cost_set places = cost_room(options->starts);
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

/* Returns whether this is the program that was started. */
static bool parse(int argc, char **argv, struct options *options)
{
	static const struct option known[] = {
		{ "file", required_argument, NULL, 'f' },
		{ "starts", required_argument, NULL, 's' },
		{ "offset", required_argument, NULL, 'o' },
		{ "length", required_argument, NULL, 'l' },
		{ "private", no_argument, NULL, 'p' },
		{ "land", no_argument, NULL, 'L' },
		{ 0 },
	};
	bool landing = false;
	int option;

	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (option) {
		case 'f':
			options->file = optarg;
			break;
		case 's':
			options->starts = window_parse_number("starts", optarg, 100000);
			break;
		case 'o':
			options->offset = window_parse_number("offset", optarg, 1UL << 40);
			break;
		case 'l':
			options->length = window_parse_number("length", optarg, 1UL << 40);
			break;
		case 'p':
			options->sharing = MAP_PRIVATE;
			options->protection = PROT_READ;
			break;
		case 'L':
			landing = true;
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
	if (options->offset % SMALL_ENTRY)
		trial_fail("--offset %zu: it is a multiple of 4K", options->offset);
	return landing;
}

int main(int argc, char **argv)
{
	struct options options = {
		.starts = 200,
		.length = GIB,
		.protection = PROT_READ | PROT_WRITE,
		.sharing = MAP_SHARED,
	};
	char **orders;

	if (parse(argc, argv, &options))
		return land(&options);
	orders = calloc(argc + 2, sizeof(*orders));
	if (!orders)
		trial_fail("no memory");
	memcpy(orders, argv, argc * sizeof(*orders));
	orders[argc] = "--land";
	trial_phase("before", NULL, 0);
	measure(&options, orders);
	return 0;
}
