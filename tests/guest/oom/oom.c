/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A user fills memory with the page tables of a sparse DAX file. Who is killed
 * for it? See README.md.
 */
#include "../lib/observe.h"
#include "../lib/util.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define GIB	   (1UL << 30)
#define MIB	   (1UL << 20)
#define UNIT	   (2 * MIB)
#define HOME	   ((char *)0x100000000000UL)
#define USER	   65534
#define MOST_GIB   2000 /* more than the guest has memory for */
#define GROUPS	   "/sys/fs/cgroup"
#define GROUP_MAX  "200M"
#define PATIENT_NS 300000000000LL

static struct {		 /* shared by all processes */
	_Atomic int gib; /* that the culprit has finished */
	_Atomic int ready;
} *all;

/* @culpable: uses the page tables. @mib: of memory of its own. */
struct actor {
	const char *name;
	bool culpable;
	uid_t user;
	int mib;
	pid_t pid;
};

enum { CULPRIT, ACCOMPLICE, BYSTANDERS, NEWCOMER = 6, ACTORS };

static struct actor actors[ACTORS] = {
	[CULPRIT] = { "the culprit", true, USER, 0, 0 },
	[ACCOMPLICE] = { "the accomplice", true, USER, 0, 0 },
	[BYSTANDERS] = { "a bystander of 120 MiB", false, USER, 120, 0 },
	{ "a bystander of 60 MiB", false, USER, 60, 0 },
	{ "a bystander of 30 MiB", false, USER, 30, 0 },
	{ "a process of root", false, 0, 10, 0 },
	[NEWCOMER] = { "a newcomer of 100 MiB", false, USER, 100, 0 },
};

static const char *path = "/mnt/dax/oom";
static int fd;

static void set(const char *file, const char *text)
{
	int error = write_text(file, text);

	if (error) {
		errno = -error;
		die(file);
	}
}

static char *map_file(void)
{
	char *map = mmap(HOME, MOST_GIB * GIB, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0);

	if (map == MAP_FAILED || madvise(map, MOST_GIB * GIB, MADV_NOHUGEPAGE))
		die("mmap");
	return map;
}

/* Needs a page of PTEs for each byte that it reads. */
static void fill(void)
{
	char *map = map_file();

	for (int gib = 0; gib < MOST_GIB; gib++) {
		for (unsigned long at = 0; at < GIB; at += UNIT)
			(void)*(volatile char *)(map + gib * GIB + at);
		atomic_store(&all->gib, gib + 1);
	}
	fputs("oom: there is too much memory\n", stderr);
	_exit(1);
}

/* Uses the tables that are there, and allocates next to none. */
static void follow(void)
{
	char *map = map_file();

	for (int gib = 0; gib < MOST_GIB; gib++) {
		while (atomic_load(&all->gib) <= gib)
			usleep(1000);
		(void)*(volatile char *)(map + gib * GIB);
	}
	_exit(1);
}

static void sit(int mib)
{
	char *memory = mmap(NULL, mib * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);

	if (memory == MAP_FAILED)
		die("mmap");
	memset(memory, 1, mib * MIB);
	atomic_fetch_add(&all->ready, 1);
	for (;;)
		pause();
}

static void start(int which, const char *group)
{
	struct actor *actor = &actors[which];
	char procs[128];

	actor->pid = fork_child();
	if (actor->pid)
		return;
	set("/proc/self/oom_score_adj", "0");
	if (group) {
		snprintf(procs, sizeof(procs), "%s/%s/cgroup.procs", GROUPS, group);
		set(procs, "0");
	}
	if (setgid(actor->user) || setuid(actor->user))
		die("setuid");
	if (which == CULPRIT)
		fill();
	if (which == ACCOMPLICE)
		follow();
	sit(actor->mib);
}

/* Says who has died, if anybody has. Returns who that is, or -1. */
static int dead(void)
{
	int status;
	pid_t pid = waitpid(-1, &status, WNOHANG);

	for (int which = 0; pid > 0 && which < ACTORS; which++) {
		if (actors[which].pid != pid)
			continue;
		actors[which].pid = 0;
		printf("%s is killed, %d GiB have tables\n", actors[which].name, all->gib);
		if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) {
			printf("no, it has ended with status 0x%x\n", status);
			exit(1);
		}
		return which;
	}
	return -1;
}

/* Until @condition holds; false if somebody innocent has died by then. */
#define wait_until(condition)                                           \
	({                                                              \
		bool innocent = true;                                   \
		int64_t end = now_ns() + PATIENT_NS;                    \
		while (innocent && !(condition)) {                      \
			int which = dead();                             \
			innocent = which < 0 || actors[which].culpable; \
			if (now_ns() > end) {                           \
				puts("nothing happens any more");       \
				exit(1);                                \
			}                                               \
			usleep(1000);                                   \
		}                                                       \
		innocent;                                               \
	})

static void groups_make(void)
{
	if (access(GROUPS "/cgroup.procs", F_OK) && mount("cgroup2", GROUPS, "cgroup2", 0, NULL))
		die(GROUPS);
	set(GROUPS "/cgroup.subtree_control", "+memory");
	if ((mkdir(GROUPS "/culprits", 0755) || mkdir(GROUPS "/others", 0755)) && errno != EEXIST)
		die(GROUPS);
	set(GROUPS "/culprits/memory.max", GROUP_MAX);
}

static bool trial(bool accomplice, bool groups)
{
	const char *culprits = groups ? "culprits" : NULL, *others = groups ? "others" : NULL;

	for (int which = BYSTANDERS; which < NEWCOMER; which++)
		start(which, others);
	if (!wait_until(all->ready == NEWCOMER - BYSTANDERS))
		return false;
	start(CULPRIT, culprits);
	if (accomplice)
		start(ACCOMPLICE, culprits);
	if (!wait_until(!actors[CULPRIT].pid))
		return false;
	/* The memory must be there for others, which takes the accomplice's life as well. */
	all->ready = 0;
	start(NEWCOMER, others);
	return wait_until(all->ready == 1);
}

int main(int argc, char **argv)
{
	static const struct option known[] = { { "accomplice", no_argument, NULL, 'a' },
					       { "groups", no_argument, NULL, 'g' },
					       { 0 } };
	bool accomplice = false, groups = false, good;
	int option;

	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (option == 'a') {
			accomplice = true;
		} else if (option == 'g') {
			groups = true;
		} else {
			fputs("usage: oom [--accomplice] [--groups]\n", stderr);
			return 2;
		}
	}
	all = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (all == MAP_FAILED || fd < 0 || ftruncate(fd, MOST_GIB * GIB))
		die(path);
	set("/proc/self/oom_score_adj", "-1000");
	if (groups)
		groups_make();
	good = trial(accomplice, groups);
	printf("%s%s: %s\n", groups ? "with memory cgroups" : "without memory cgroups",
	       accomplice ? ", with an accomplice" : "",
	       good ? "nobody innocent is killed" : "somebody innocent is killed first");
	for (int which = 0; which < ACTORS; which++)
		if (actors[which].pid)
			kill(actors[which].pid, SIGKILL);
	while (wait(NULL) > 0)
		;
	close(fd);
	unlink(path);
	return !good;
}
