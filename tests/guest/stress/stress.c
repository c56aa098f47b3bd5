/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Many processes do everything at once to a few DAX files they all map, and
 * what each finds there is checked; see truth.h.
 */
#include "actor.h"
#include "operation.h"
#include "../lib/observe.h"
#include "../lib/util.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SWITCH	"/proc/sys/vm/dax_share_page_tables"
#define STUCK_S 120  /* without one operation by anybody */
#define LEAK_KB 8192 /* MemFree varies by as much after the first round */

static const char *directory = "/mnt/dax", *raw_device;
static int seconds = 60, processes = 8, files = 2, rounds = 4;
static uint64_t seed = 1;
static long kept_kb;
static bool toggle, leaks_ignored;

static uint64_t mix(uint64_t a, uint64_t b)
{
	uint64_t x = a * 0x9E3779B97F4A7C15ULL + b + 1;

	x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9ULL;
	x = (x ^ x >> 27) * 0x94D049BB133111EBULL;
	return (x ^ x >> 31) | 1;
}

/* ---- Files ------------------------------------------------------------- */

static const char *file_name(int file)
{
	static char path[300];

	snprintf(path, sizeof(path), "%s/stress.%d", directory, file);
	return path;
}

static void files_create(void)
{
	struct statx about;

	memset(&arena->truth, 0, sizeof(arena->truth));
	arena->truth.files = files;
	arena->truth.processes = processes;
	for (int i = 0; i < files; i++) {
		struct file_truth *f = &arena->truth.file[i];

		f->fd = open(file_name(i), O_RDWR | O_CREAT | O_TRUNC, 0600);
		if (f->fd < 0 || ftruncate(f->fd, FILE_BYTES))
			die(file_name(i));
		if (statx(f->fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &about) ||
		    !(about.stx_attributes & STATX_ATTR_DAX)) {
			fprintf(stderr, "stress: files in %s are not mapped with DAX\n", directory);
			exit(1);
		}
		/* The first is preallocated, the others are made of holes. */
		for (int k = 0; i == 0 && fallocate(f->fd, 0, 0, FILE_BYTES); k++) {
			if (errno != ENOSPC || k == 100)
				die("fallocate");
			pause_ms(50);
		}
		f->size = FILE_BYTES;
	}
}

static void files_remove(void)
{
	for (int i = 0; i < files; i++) {
		close(arena->truth.file[i].fd);
		unlink(file_name(i));
	}
}

/* ---- Actors ------------------------------------------------------------ */

static void actor_start(int process, uint64_t its_seed)
{
	struct post *post = &arena->posts[process];
	pid_t pid;

	post->seed = its_seed;
	pid = fork_child();
	if (pid == 0) {
		setpgid(0, 0);
		act(process, its_seed);
	}
	setpgid(pid, pid);
	post->pid = pid;
}

/* What a process that was killed in the middle of something has left undone. */
static void tidy_after(int process)
{
	struct truth *truth = &arena->truth;
	struct stat about;

	for (int i = 0; i < files; i++) {
		if (truth->file[i].resizing == process + 1) {
			if (!fstat(truth->file[i].fd, &about))
				truth->file[i].size = about.st_size;
			truth->file[i].resizing = 0;
		}
		destruction_ends(&truth->file[i], process);
		for (int s = 0; s < SPOTS; s++)
			if (spot_owner(truth, i, s) == process) {
				copy_ends(&truth->file[i].spots[s]);
				truth->file[i].spots[s].busy = 0;
			}
	}
}

static void actor_kill(int process)
{
	pid_t pid = arena->posts[process].pid;

	kill(-pid, SIGKILL);
	/* Its children become ours and have to be gone too. */
	while (waitpid(-pid, NULL, 0) > 0 || errno == EINTR)
		;
	tidy_after(process);
}

/* The end of a child nobody killed. */
static void check_ends(void)
{
	int status;

	for (int i = 0; i < processes; i++) {
		pid_t pid = arena->posts[i].pid;

		if (waitpid(pid, &status, WNOHANG) == pid && !arena->stop)
			fail(i, "ended with status %#x", status);
	}
}

static uint64_t all_done(void)
{
	uint64_t sum = 0;

	for (int i = 0; i < processes; i++)
		sum += arena->posts[i].done;
	return sum;
}

static void run_round(int round, int64_t end)
{
	uint64_t random = mix(seed, 1000 + round), last = 0, restarts = 0;
	int64_t moved = now_ms();

	arena->stop = 0;
	memset(arena->posts, 0, sizeof(arena->posts));
	for (int i = 0; i < processes; i++)
		actor_start(i, mix(seed, round * 1000000ULL + i));
	while (now_ms() < end && !arena->stop) {
		pause_ms(100);
		check_ends();
		random = mix(random, 1);
		if (random >> 8 & 1) {
			int victim = (random >> 16) % processes;

			actor_kill(victim);
			actor_start(victim,
				    mix(seed, ++restarts << 32 | round * 1000000ULL | victim));
		}
		if (toggle && !(random >> 4 & 3))
			write_text(SWITCH, random >> 12 & 1 ? "1" : "0");
		if (all_done() != last) {
			last = all_done();
			moved = now_ms();
		} else if (now_ms() - moved > STUCK_S * 1000) {
			write_text("/proc/sysrq-trigger", "w");
			fail(-1, "no operation in %d s; see the console for who waits", STUCK_S);
		}
	}
	arena->stop = 1;
	for (int64_t limit = now_ms() + 5000; now_ms() < limit; pause_ms(20)) {
		siginfo_t info = { .si_pid = 0 };

		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT))
			break;
		if (!info.si_pid)
			continue;
		waitpid(info.si_pid, NULL, 0);
	}
	for (int i = 0; i < processes; i++)
		actor_kill(i);
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
		;
}

/* ---- Leaks ------------------------------------------------------------- */

struct balance {
	struct page_tables page_tables;
	struct tables tables;
	long objects, free_kb;
};

static struct balance balance_now(void)
{
	struct balance now = { page_tables_now(true), tables_now(), table_objects_now(), 0 };

	now.free_kb = number_after("/proc/meminfo", "MemFree:");
	return now;
}

static void settle(void)
{
	sync();
	write_text("/proc/sys/vm/drop_caches", "3");
	pause_ms(300);
	write_text("/proc/sys/vm/drop_caches", "3");
}

/* Objects that were freed wait for a grace period, rarely for long. */
static struct balance balance_since(const struct balance *before)
{
	struct balance now = balance_now();

	for (int i = 0; i < 300 && now.objects != before->objects; i++) {
		pause_ms(100);
		now.objects = table_objects_now();
	}
	return now;
}

static bool same(const char *what, long before, long after)
{
	if (before == after)
		return true;
	printf("leak: %s was %ld and is %ld\n", what, before, after);
	return false;
}

static bool no_leak(const struct balance *before, const struct balance *after)
{
	bool good = same("PageTables, kB,", before->page_tables.meminfo_kb,
			 after->page_tables.meminfo_kb);

	good &= same("the number of KPF_PGTABLE pages", before->page_tables.flagged_pages,
		     after->page_tables.flagged_pages);
	good &= same("created minus freed shared tables",
		     before->tables.create - before->tables.free,
		     after->tables.create - after->tables.free);
	good &= same("the number of objects for shared tables", before->objects, after->objects);
	good &= same("attached minus detached", before->tables.attach - before->tables.detach,
		     after->tables.attach - after->tables.detach);
	return good;
}

/* ---- The whole --------------------------------------------------------- */

static const char usage[] =
	"usage: stress [--seconds N] [--seed S] [--processes P] [--files F] [--rounds R]\n"
	"              [--directory DIR] [--raw-device DEV] [--toggle]\n"
	"              [--kept-kb KB] [--no-leak-check] [--only OPERATION]...\n"
	"  --seconds N       run time (60)\n"
	"  --seed S          of the random choice of operations (1)\n"
	"  --processes P     1 to 64, each with up to two threads (8)\n"
	"  --files F         1 to 8, of 2 GiB, the first of them preallocated (2)\n"
	"  --rounds R        how often to make the files again and check for leaks (4)\n"
	"  --directory DIR   on a file system mounted with DAX (/mnt/dax)\n"
	"  --raw-device DEV  a pmem device to write to, for O_DIRECT with pinned pages\n"
	"  --toggle          keep turning page-table sharing off and on\n"
	"  --kept-kb KB      freed memory that the kernel may hold back, as KASAN does:\n"
	"                    MemFree may fall by this and 8 MiB (0)\n"
	"  --no-leak-check   for a guest in which other programs allocate memory too\n"
	"  --only OPERATION  one of those counted at the end; may be repeated (all)\n"
	"  Exits with 1 if anything was wrong: data, signals, hangs or leaks.\n";

static void parse(int argc, char **argv)
{
	static const struct option known[] = {
		{ "seconds", required_argument, NULL, 'n' },
		{ "seed", required_argument, NULL, 's' },
		{ "processes", required_argument, NULL, 'p' },
		{ "files", required_argument, NULL, 'f' },
		{ "rounds", required_argument, NULL, 'r' },
		{ "directory", required_argument, NULL, 'd' },
		{ "raw-device", required_argument, NULL, 'w' },
		{ "toggle", no_argument, NULL, 't' },
		{ "kept-kb", required_argument, NULL, 'k' },
		{ "no-leak-check", no_argument, NULL, 'b' },
		{ "only", required_argument, NULL, 'o' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (option) {
		case 'n':
			seconds = atoi(optarg);
			break;
		case 's':
			seed = strtoull(optarg, NULL, 0);
			break;
		case 'p':
			processes = atoi(optarg);
			break;
		case 'f':
			files = atoi(optarg);
			break;
		case 'r':
			rounds = atoi(optarg);
			break;
		case 'd':
			directory = optarg;
			break;
		case 'w':
			raw_device = optarg;
			break;
		case 't':
			toggle = true;
			break;
		case 'k':
			kept_kb = atol(optarg);
			break;
		case 'b':
			leaks_ignored = true;
			break;
		case 'o':
			if (!operate_only(optarg)) {
				fprintf(stderr, "stress: there is no operation %s; there are",
					optarg);
				for (int i = 0; operation_name(i); i++)
					fprintf(stderr, " %s", operation_name(i));
				fputs("\n", stderr);
				exit(2);
			}
			break;
		case 'h':
			fputs(usage, stdout);
			exit(0);
		default:
			fputs(usage, stderr);
			exit(2);
		}
	}
	if (optind < argc || seconds < 1 || processes < 1 || processes > MAX_PROCESSES ||
	    files < 1 || files > MAX_FILES || rounds < 1) {
		fputs(usage, stderr);
		exit(2);
	}
}

static void report_failure(int round)
{
	printf("FAILED in round %d: %s\n", round, arena->failure);
	for (int i = 0; i < processes; i++) {
		struct post *post = &arena->posts[i];
		char head[32];

		snprintf(head, sizeof(head), "actor %d:", i);
		printf("actor %d: seed %#llx, %llu operations, the last of them:\n", i,
		       (unsigned long long)post->seed, (unsigned long long)post->done);
		/* All seeds are printed; the last operations only of the process that complained. */
		if (strncmp(arena->failure, head, strlen(head)))
			continue;
		for (int k = 0; k < TRACE; k++)
			printf("  %s\n", post->trace[(post->done + 1 + k) % TRACE]);
	}
}

static void report_counts(void)
{
	uint64_t total = 0;

	for (int i = 0; operation_name(i); i++) {
		printf("%-12s %10llu\n", operation_name(i), (unsigned long long)arena->counts[i]);
		total += arena->counts[i];
	}
	printf("%-12s %10llu\n", "total", (unsigned long long)total);
	printf("%-12s %10llu\n", "by threads", (unsigned long long)arena->touches);
	printf("%-12s %10llu, at most %llu ms\n", "lingered", (unsigned long long)arena->lingered,
	       (unsigned long long)arena->lingered_ms);
}

int main(int argc, char **argv)
{
	struct balance start, end;
	bool was_on = sharing_on(), good = true;
	long first_free = 0, last_free = 0;
	int64_t began;

	if (argc == 2 && !strcmp(argv[1], "--nothing"))
		return 0;
	parse(argc, argv);
	setvbuf(stdout, NULL, _IOLBF, 0);
	arena = mmap(NULL, sizeof(*arena), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	if (arena == MAP_FAILED)
		die("mmap");
	memset(arena, 0, sizeof(*arena));
	arena->raw_device = raw_device;
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	settle();
	start = balance_now();
	start = balance_now();
	printf("stress: %d s, seed %llu, %d processes, %d files, %d rounds; sharing %s\n", seconds,
	       (unsigned long long)seed, processes, files, rounds,
	       toggle	       ? "toggled" :
	       was_on	       ? "on" :
	       sharing_known() ? "off" :
				 "unknown here");
	began = now_ms();
	for (int round = 0; round < rounds && good; round++) {
		files_create();
		run_round(round, began + seconds * 1000LL * (round + 1) / rounds);
		files_remove();
		good = !arena->failed;
		if (!good)
			report_failure(round);
		if (leaks_ignored) {
			end = balance_now();
		} else {
			settle();
			end = balance_since(&start);
			good &= no_leak(&start, &end);
		}
		last_free = end.free_kb;
		if (!round)
			first_free = last_free;
		printf("round %d: MemFree %ld kB, shared tables created %ld, attached %ld\n", round,
		       last_free, end.tables.create - start.tables.create,
		       end.tables.attach - start.tables.attach);
	}
	if (toggle)
		write_text(SWITCH, was_on ? "1" : "0");
	if (was_on && end.tables.create == start.tables.create) {
		puts("no table was shared although sharing is on");
		good = false;
	}
	if (!leaks_ignored && first_free - last_free > LEAK_KB + kept_kb) {
		printf("leak: MemFree fell from %ld to %ld kB\n", first_free, last_free);
		good = false;
	}
	report_counts();
	puts(good ? "stress: passed" : "stress: FAILED");
	return !good;
}
