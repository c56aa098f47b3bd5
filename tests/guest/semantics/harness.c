/* SPDX-License-Identifier: GPL-2.0 */
#include "harness.h"
#include "cases.h"
#include "../lib/observe.h"
#include "../lib/util.h"
#include "scene.h"
#include "worker.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <getopt.h>
#include <linux/membarrier.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct shape shapes[] = {
	{ SHARED_2M, "shared-2M", false, false, false },
	{ SHARED_4K, "shared-4K", false, true, false },
	{ SHARED_MIXED, "shared-mixed", false, false, true },
	{ PRIVATE_2M, "private-2M", true, false, false },
	{ PRIVATE_4K, "private-4K", true, true, false },
};
#define SHAPES (sizeof(shapes) / sizeof(*shapes))

static const struct semantic_case *const themes[] = {
	sharing_cases, private_cases, unmap_cases,  remap_cases,   protect_cases, process_cases,
	advice_cases,  gup_cases,     file_cases,   poison_cases,  warm_cases,	  race_cases,
	inspect_cases, address_cases, mirror_cases, failing_cases,
};
#define THEMES (sizeof(themes) / sizeof(*themes))

struct shape shape;
struct options options = { .directory = "/mnt/dax" };

/* Written by the process of a case, read by the program. */
static struct report {
	int failures;
	bool skipped;
	char reason[256];
	size_t used;
	char text[16384];
} *report;

static void add_line(const char *file, int line, const char *format, va_list arguments)
{
	size_t room = sizeof(report->text) - report->used;
	int head, body;

	report->failures++;
	if (room < 512)
		return;
	head = snprintf(report->text + report->used, room, "# %s:%d: ", file, line);
	body = vsnprintf(report->text + report->used + head, 400, format, arguments);
	report->used += head + (body < 400 ? body : 399);
	report->text[report->used++] = '\n';
}

bool report_unless(bool condition, const char *file, int line, const char *format, ...)
{
	va_list arguments;

	if (condition)
		return true;
	va_start(arguments, format);
	add_line(file, line, format, arguments);
	va_end(arguments);
	return false;
}

void report_and_end(const char *file, int line, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	add_line(file, line, format, arguments);
	va_end(arguments);
	_exit(1);
}

void skip_case(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(report->reason, sizeof(report->reason), format, arguments);
	va_end(arguments);
	report->skipped = true;
	_exit(0);
}

/* What a case must leave as it found it. */
struct balance {
	struct page_tables page_tables;
	struct tables tables;
};

/* To look at every page takes longer than most cases, so only some do: flags below 0 say no. */
static struct balance balance_now(bool flags)
{
	return (struct balance){ page_tables_now(flags), tables_now() };
}

/*
 * A processor that is idle keeps the mm of the process that it has run last, and with the mm its
 * page of PGDs, until it runs another one.  Linux 7.x counts these pages.
 */
static void run_everywhere(void)
{
	cpu_set_t allowed, one;

	sched_getaffinity(0, sizeof(allowed), &allowed);
	for (int i = 0; i < CPU_SETSIZE; i++) {
		if (!CPU_ISSET(i, &allowed))
			continue;
		CPU_ZERO(&one);
		CPU_SET(i, &one);
		sched_setaffinity(0, sizeof(one), &one);
	}
	sched_setaffinity(0, sizeof(allowed), &allowed);
}

/*
 * Linux 7.x frees page tables an RCU grace period after they were given back, and counts them until
 * then. Wait for two: a callback may queue another one.
 */
static void wait_for_page_tables(void)
{
	run_everywhere();
	for (int i = 0; i < 2; i++)
		syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
	pause_ms(20);
}

static bool same_page_tables(struct page_tables a, struct page_tables b)
{
	return a.meminfo_kb == b.meminfo_kb &&
	       (b.flagged_pages < 0 || a.flagged_pages == b.flagged_pages);
}

/* What is there before anything is done, with nothing of earlier processes in flight. */
static struct balance balance_at_rest(bool flags)
{
	struct balance last, now = balance_now(flags);

	for (int i = 0; i < 50; i++) {
		last = now;
		wait_for_page_tables();
		now = balance_now(flags);
		if (same_page_tables(last.page_tables, now.page_tables))
			break;
	}
	return now;
}

/*
 * The last reference to an mm may be dropped a little after its process was
 * waited for.  Returns what there is now.
 */
static struct balance check_balance(const struct balance *before, bool flags)
{
	struct balance after = balance_now(flags);
	long born, freed;

	for (int i = 0; i < 250 && !same_page_tables(before->page_tables, after.page_tables); i++) {
		wait_for_page_tables();
		after = balance_now(flags);
	}
	expect(before->page_tables.meminfo_kb == after.page_tables.meminfo_kb,
	       "PageTables was %ld kB before and is %ld kB after", before->page_tables.meminfo_kb,
	       after.page_tables.meminfo_kb);
	if (flags)
		expect(before->page_tables.flagged_pages == after.page_tables.flagged_pages,
		       "%ld pages had KPF_PGTABLE before this case or one of its shapes, "
		       "%ld have it after",
		       before->page_tables.flagged_pages, after.page_tables.flagged_pages);
	else
		after.page_tables.flagged_pages = before->page_tables.flagged_pages;
	born = after.tables.create - before->tables.create;
	freed = after.tables.free - before->tables.free;
	expect(born == freed, "%ld shared tables were created and %ld freed", born, freed);
	born = after.tables.attach - before->tables.attach;
	freed = after.tables.detach - before->tables.detach;
	expect(born == freed, "%ld attachments and %ld detachments", born, freed);
	return after;
}

/* At the very end: a case alone may leave objects that wait for a grace period. */
static bool check_objects(long before)
{
	long after = table_objects_now();

	for (int i = 0; i < 300 && after != before; i++) {
		pause_ms(100);
		after = table_objects_now();
	}
	if (after >= 0)
		printf("# shared tables known to the kernel: %ld before, %ld after\n", before,
		       after);
	return after == before;
}

static void collect_all(pid_t group)
{
	kill(-group, SIGKILL);
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
		;
}

/* Runs the body in a process of its own and waits for all that came of it to end. */
static void run_isolated(const struct semantic_case *c, int timeout_s)
{
	siginfo_t info = { .si_pid = 0 };
	pid_t pid = fork();
	struct pollfd end;

	if (pid == 0) {
		setpgid(0, 0);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		workers_prepare();
		c->run();
		_exit(0);
	}
	setpgid(pid, pid);
	/*
	 * Asleep all the while: to look now and then would take a processor
	 * from a spinner, and the contents of its TLB with it.
	 */
	end = (struct pollfd){ .fd = syscall(SYS_pidfd_open, pid, 0), .events = POLLIN };
	poll(&end, 1, timeout_s * 1000);
	close(end.fd);
	waitid(P_PID, pid, &info, WEXITED | WNOHANG | WNOWAIT);
	file_system_thaw();
	collect_all(pid);
	expect(info.si_pid, "not finished after %d s", timeout_s);
	if (info.si_pid && info.si_code != CLD_EXITED)
		expect(false, "the case itself was ended by signal %d", info.si_status);
}

static bool run_case(const struct semantic_case *c, int timeout_s, int number, const char *name,
		     bool last_shape)
{
	/* What one case ends with the next begins with. */
	static struct balance before;
	static bool known;
	int64_t start = now_ms();

	memset(report, 0, sizeof(*report));
	if (!known)
		before = balance_at_rest(true);
	run_isolated(c, timeout_s);
	files_remove();
	before = check_balance(&before, last_shape);
	known = !report->failures;
	printf("%s %d - %s", report->failures ? "not ok" : "ok", number, name);
	if (!report->failures && report->skipped)
		printf(" # SKIP %s", report->reason);
	printf("\n%s# %lld ms\n", report->failures ? report->text : "",
	       (long long)(now_ms() - start));
	return !report->failures;
}

#define MAX_GLOBS 32

/* Patterns of names; none means all. */
static const char *globs[MAX_GLOBS];
static int glob_count;
static bool stop_at_failure;

static const char *full_name(const struct semantic_case *c, int s)
{
	static char name[128];

	snprintf(name, sizeof(name), "%s:%s", c->name, shapes[s].name);
	return name;
}

static bool is_wanted(const struct semantic_case *c, int s)
{
	if (!(c->shapes & shapes[s].bit))
		return false;
	for (int i = 0; i < glob_count; i++)
		if (!fnmatch(globs[i], full_name(c, s), 0))
			return true;
	return !glob_count;
}

static int last_wanted(const struct semantic_case *c)
{
	int s = SHAPES - 1;

	while (s >= 0 && !is_wanted(c, s))
		s--;
	return s;
}

/* Calls @visit for every case and shape that is wanted; returns how many there were. */
static int each(bool (*visit)(const struct semantic_case *, int, const char *, bool), int *failures)
{
	int number = 0;

	for (size_t t = 0; t < THEMES; t++) {
		for (const struct semantic_case *c = themes[t]; c->name; c++) {
			int last = last_wanted(c);

			for (int s = 0; s <= last; s++) {
				if (!is_wanted(c, s))
					continue;
				shape = shapes[s];
				number++;
				if (visit && !visit(c, number, full_name(c, s), s == last) &&
				    ++*failures && stop_at_failure)
					return number;
			}
		}
	}
	return number;
}

static int timeout_seconds = 120;

static bool list_one(const struct semantic_case *c, int number, const char *name, bool last_shape)
{
	(void)number, (void)last_shape;
	printf("%-48s %s\n", name, c->expectation);
	return true;
}

static bool run_one(const struct semantic_case *c, int number, const char *name, bool last_shape)
{
	return run_case(c, timeout_seconds, number, name, last_shape);
}

static const char usage[] =
	"usage: semantics [--list] [--only GLOB]... [--stop] [--directory DIR] [--raw-device DEV]\n"
	"                 [--timeout S]\n"
	"  Tests what the kernel promises about mappings of DAX files, as TAP on stdout.\n"
	"  --list            name the cases and what each expects, run none\n"
	"  --only GLOB       only cases whose name matches, such as 'warm/*' or '*:private-2M'\n"
	"  --stop            after the first case that fails\n"
	"  --directory DIR   a directory on a file system mounted with DAX (/mnt/dax)\n"
	"  --raw-device DEV  a pmem device whose contents may be read with O_DIRECT\n"
	"  --timeout S       seconds a single case may take (120)\n";

static void parse(int argc, char **argv, bool *list)
{
	static const struct option known[] = {
		{ "list", no_argument, NULL, 'l' },
		{ "only", required_argument, NULL, 'o' },
		{ "stop", no_argument, NULL, 's' },
		{ "directory", required_argument, NULL, 'd' },
		{ "raw-device", required_argument, NULL, 'r' },
		{ "timeout", required_argument, NULL, 't' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (option) {
		case 'l':
			*list = true;
			break;
		case 'o':
			if (glob_count == MAX_GLOBS) {
				fputs(usage, stderr);
				exit(2);
			}
			globs[glob_count++] = optarg;
			break;
		case 's':
			stop_at_failure = true;
			break;
		case 'd':
			options.directory = optarg;
			break;
		case 'r':
			options.raw_device = optarg;
			break;
		case 't':
			timeout_seconds = atoi(optarg);
			break;
		case 'h':
			fputs(usage, stdout);
			exit(0);
		default:
			fputs(usage, stderr);
			exit(2);
		}
	}
	if (optind < argc || timeout_seconds <= 0) {
		fputs(usage, stderr);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	bool list = false;
	const char *problem;
	int failures = 0, total;
	long objects;

	if (argc == 2 && !strcmp(argv[1], EXEC_ARGUMENT))
		return EXEC_STATUS;
	setvbuf(stdout, NULL, _IOLBF, 0);
	parse(argc, argv, &list);
	if (list) {
		each(list_one, &failures);
		return 0;
	}
	options.processors = sysconf(_SC_NPROCESSORS_ONLN);
	report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	puts("TAP version 14");
	problem = report == MAP_FAILED ? "no memory" : scene_problem();
	if (problem) {
		printf("Bail out! %s\n", problem);
		return 1;
	}
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	/* The first look touches memory of our own; later ones must not. */
	memset(report, 0, sizeof(*report));
	balance_now(true);
	objects = table_objects_now();
	total = each(NULL, NULL);
	printf("1..%d\n", total);
	printf("# page-table sharing: %s; %d processors; %s\n",
	       sharing_on()    ? "on" :
	       sharing_known() ? "off" :
				 "not in this kernel",
	       options.processors, options.directory);
	each(run_one, &failures);
	printf("# %d of %d failed\n", failures, total);
	return failures || !total || !check_objects(objects);
}
