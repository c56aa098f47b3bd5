/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Sample a program that announces nothing itself: stop it now and then, announce a phase about all
 * of its processes, and let it go on.
 *
 *	sample [OPTION]... -- PROGRAM [ARGUMENT]...
 *
 * Phases: `start` before the program, then those that --at says, and `end` when it has ended. A
 * phase that is announced again replaces what was read at it before.
 *
 * Values: `elapsed`, the guest time that the program had, without that of the phases; and the minor
 * faults of all its processes, as far as they have been waited for.
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include "lib/options.h"
#include "lib/trial.h"

#define MAX_PROCESSES 4096

enum moment { ALWAYS, PEAK, WAITING };

static const struct option_choice moments[] = {
	{ "always", ALWAYS },
	{ "peak", PEAK },
	{ "waiting", WAITING },
	{ 0 },
};

static struct {
	enum moment at;
	const char *phase, *counter;
	unsigned long every_ms, seconds;
} options;

static pid_t processes[MAX_PROCESSES];
static size_t process_count;

/* What a look at the program found: a changed number of switches says that something has run. */
struct look {
	unsigned long switches;
	bool asleep;
};

static bool read_text(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length = fd < 0 ? -1 : read(fd, text, size - 1);

	if (fd >= 0)
		close(fd);
	text[length > 0 ? length : 0] = '\0';
	return length > 0;
}

/* Call `visit` with the directory of every thread of a process. */
static void each_thread(pid_t pid, void (*visit)(const char *thread, void *data), void *data)
{
	char path[128];
	DIR *threads;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	threads = opendir(path);
	if (!threads)
		return; /* it has just ended */
	for (struct dirent *entry; (entry = readdir(threads)) != NULL;) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%.16s", (int)pid, entry->d_name);
		visit(path, data);
	}
	closedir(threads);
}

static void add_children(const char *thread, void *data)
{
	static char text[64 << 10];
	char path[160], *rest = text;

	(void)data;
	snprintf(path, sizeof(path), "%s/children", thread);
	if (!read_text(path, text, sizeof(text)))
		return;
	for (char *word; (word = strsep(&rest, " ")) != NULL;)
		if (*word && process_count < MAX_PROCESSES)
			processes[process_count++] = atoi(word);
}

/* The program and all that descends from it, in the order of their birth. */
static void find_processes(pid_t program)
{
	processes[0] = program;
	process_count = 1;
	for (size_t i = 0; i < process_count; i++)
		each_thread(processes[i], add_children, NULL);
}

/* Stop everything; what is forked meanwhile is found the next time round. */
static void stop_all(pid_t program)
{
	size_t before;

	find_processes(program);
	do {
		before = process_count;
		for (size_t i = 0; i < process_count; i++)
			kill(processes[i], SIGSTOP);
		find_processes(program);
	} while (process_count != before);
}

static unsigned long number_behind(const char *text, const char *name)
{
	const char *line = strstr(text, name);

	return line ? strtoul(line + strlen(name), NULL, 10) : 0;
}

static void look_at_thread(const char *thread, void *data)
{
	struct look *look = data;
	char path[160], text[4096], *state;

	snprintf(path, sizeof(path), "%s/status", thread);
	if (!read_text(path, text, sizeof(text)))
		return;
	state = strstr(text, "\nState:\t");
	look->asleep &= state && state[strlen("\nState:\t")] == 'S';
	look->switches += number_behind(text, "\nvoluntary_ctxt_switches:\t") +
			  number_behind(text, "\nnonvoluntary_ctxt_switches:\t");
}

/* Whether all threads sleep, and none has run since the last call; true once for each rest. */
static bool waits(pid_t program)
{
	static struct look last;
	static bool announced;
	struct look now = { 0, true };
	bool rests;

	find_processes(program);
	for (size_t i = 0; i < process_count; i++)
		each_thread(processes[i], look_at_thread, &now);
	rests = now.asleep && last.asleep && now.switches == last.switches;
	if (!rests)
		announced = false;
	last = now;
	if (!rests || announced)
		return false;
	announced = true;
	return true;
}

/* Whether the counter is higher than it has ever been. */
static bool peaks(void)
{
	static unsigned long highest;
	/* Its first line, too, begins behind the end of one. */
	char text[8192] = "\n", name[128];
	int refresh = open("/proc/sys/vm/stat_refresh", O_WRONLY | O_CLOEXEC);
	unsigned long now;

	if (refresh < 0 || write(refresh, "1", 1) != 1)
		trial_fail("vm.stat_refresh: %s", strerror(errno));
	close(refresh);
	snprintf(name, sizeof(name), "\n%s:", options.counter);
	if (!read_text("/proc/meminfo", text + 1, sizeof(text) - 1) || !strstr(text, name))
		trial_fail("/proc/meminfo has no %s", options.counter);
	now = number_behind(text, name);
	if (now <= highest)
		return false;
	highest = now;
	return true;
}

static bool is_moment(pid_t program)
{
	switch (options.at) {
	case PEAK:
		return peaks();
	case WAITING:
		return waits(program);
	default:
		return true;
	}
}

static long now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000L + now.tv_nsec;
}

/* Guest time that went by while phases were taken. */
static long paused_ns;

static void take_phase(pid_t program)
{
	const long began = now_ns();

	/* One that waits stays as it is: to be stopped would count as having run. */
	if (options.at == WAITING) {
		trial_phase(options.phase, processes, process_count);
		paused_ns += now_ns() - began;
		return;
	}
	stop_all(program);
	trial_phase(options.phase, processes, process_count);
	for (size_t i = process_count; i-- > 0;)
		kill(processes[i], SIGCONT);
	paused_ns += now_ns() - began;
}

static pid_t start(char **argv)
{
	pid_t pid = fork();

	if (pid < 0)
		trial_fail("fork: %s", strerror(errno));
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execvp(argv[0], argv);
		trial_fail("%s: %s", argv[0], strerror(errno));
	}
	return pid;
}

/* End a program that does not end by itself, as asked. */
static void end(pid_t program)
{
	find_processes(program);
	for (size_t i = 0; i < process_count; i++)
		kill(processes[i], SIGKILL);
	waitpid(program, NULL, 0);
}

/* Look at the program until it has ended; returns its exit status as a shell reports it. */
static int watch(pid_t program)
{
	unsigned long looks = options.seconds * 1000 / options.every_ms;
	struct timespec next;
	int status;

	clock_gettime(CLOCK_MONOTONIC, &next);
	for (unsigned long i = 0; !options.seconds || i < looks; i++) {
		next.tv_nsec += options.every_ms % 1000 * 1000000L;
		next.tv_sec += options.every_ms / 1000 + next.tv_nsec / 1000000000L;
		next.tv_nsec %= 1000000000L;
		while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL) == EINTR)
			;
		if (waitpid(program, &status, WNOHANG) == program)
			return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
		if (is_moment(program))
			take_phase(program);
	}
	end(program);
	return 0;
}

int main(int argc, char **argv)
{
	const struct option_row rows[] = {
		OPTION_CHOICE("at", &options.at, "always", moments, "when to announce the phase"),
		OPTION_TEXT("phase", &options.phase, "sample", "NAME", "what to call it"),
		OPTION_TEXT("counter", &options.counter, "PageTables", "NAME",
			    "whose peak: a line of /proc/meminfo"),
		OPTION_NUMBER("every", &options.every_ms, "10", 1, 60000,
			      "look at the program so often, in milliseconds"),
		OPTION_NUMBER("seconds", &options.seconds, "0", 0, 86400,
			      "end the program after so many seconds; 0: never"),
	};
	struct rusage usage;
	int own = 1, status;
	long began, elapsed;

	while (own < argc && strcmp(argv[own], "--"))
		own++;
	options_parse(own, argv, "Sample a program that announces nothing itself.", rows,
		      ARRAY_SIZE(rows));
	if (own + 1 >= argc)
		options_refuse("no program: sample [OPTION]... -- PROGRAM [ARGUMENT]...");
	trial_prefault();
	trial_phase("start", NULL, 0);
	began = now_ns();
	status = watch(start(argv + own + 1));
	elapsed = now_ns() - began - paused_ns;
	getrusage(RUSAGE_CHILDREN, &usage);
	trial_phase("end", NULL, 0);
	trial_value("elapsed", "ns", elapsed);
	trial_value("faults", "faults", usage.ru_minflt);
	return status;
}
