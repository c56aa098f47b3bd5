/* SPDX-License-Identifier: GPL-2.0 */
/*
 * write(2) to shared blocks of a DAX file while other processes touch a mapping
 * of it; see README.md.
 */
#include "../lib/observe.h"
#include "../lib/util.h"

#include <fcntl.h>
#include <getopt.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE	   4096UL
#define GIB	   (1UL << 30)
#define HOME	   ((char *)0x200000000000UL)
#define PAGES	   16
#define READERS	   2
#define COPIES	   100		/* in each round */
#define FRESH	   READERS	/* the process that begins when all is over */
#define PATIENT_NS 5000000000LL /* no store takes that long */

enum phase { RUN, COMPARE, STORE };

static struct { /* shared by all processes */
	_Atomic enum phase phase;
	_Atomic long turns;	      /* of the readers */
	_Atomic int compared, stored; /* processes that have */
	_Atomic long wrong[READERS + 1];
	uint64_t truth[PAGES]; /* what the file holds when everybody rests */
} *all;

/* Old mappings are those that were there during the copies. */
struct found {
	long pages, wrong, stores, hung, killed, lost;
};

static const char *source = "/mnt/dax/reflink", *clone = "/mnt/dax/reflink-clone";
static int fd;

static volatile uint64_t *word_of(char *map, int page)
{
	return (volatile uint64_t *)(map + page * PAGE);
}

/* Each process stores to a word of its own in each page. */
static uint64_t stored_by(int who, int page)
{
	return 0x73746f7265000000 | who << 8 | page;
}

/* Touches its mapping while the file is copied; then compares it, and stores. */
static pid_t mapper(int who)
{
	pid_t pid = fork_child();
	char *map;

	if (pid)
		return pid;
	map = mmap(HOME, GIB, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
	if (map == MAP_FAILED)
		die("mmap");
	while (atomic_load(&all->phase) == RUN) {
		for (int page = 0; page < PAGES; page++)
			(void)*word_of(map, page);
		atomic_fetch_add(&all->turns, 1);
	}
	for (int page = 0; page < PAGES; page++)
		if (*word_of(map, page) != all->truth[page])
			atomic_fetch_add(&all->wrong[who], 1);
	atomic_fetch_add(&all->compared, 1);
	while (atomic_load(&all->phase) == COMPARE)
		usleep(1000);
	for (int page = 0; page < PAGES; page++)
		word_of(map, page)[1 + who] = stored_by(who, page);
	atomic_fetch_add(&all->stored, 1);
	_exit(0);
}

/* Gives the file's blocks to a second file as well, and writes new ones, over and over. */
static void copy_on_write(int round)
{
	static uint64_t words[PAGES * PAGE / sizeof(uint64_t)];
	int copy = open(clone, O_RDWR | O_CREAT | O_TRUNC, 0600);

	if (copy < 0)
		die(clone);
	for (int i = 1; i <= COPIES; i++) {
		if (ioctl(copy, FICLONE, fd))
			die("FICLONE");
		for (int page = 0; page < PAGES; page++)
			words[page * PAGE / sizeof(*words)] = (uint64_t)round << 32 | i << 8 | page;
		if (pwrite(fd, words, sizeof(words), 0) != sizeof(words))
			die("pwrite");
	}
	close(copy);
}

/* Waits for all of @pids to end, or for that to have taken too long. */
static void reap(pid_t *pids, int count, struct found *old, struct found *fresh)
{
	int64_t end = now_ns() + PATIENT_NS;

	for (int who = 0; who < count; who++) {
		struct found *found = who == FRESH ? fresh : old;
		int status;

		while (waitpid(pids[who], &status, WNOHANG) == 0) {
			usleep(1000);
			if (now_ns() < end)
				continue;
			kill(pids[who], SIGKILL);
			waitpid(pids[who], &status, 0);
			found->hung++;
			break;
		}
		found->stores++;
		if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
			found->killed++;
	}
}

static void rest_and_look(pid_t *pids, struct found *old, struct found *fresh)
{
	int64_t end;

	for (int page = 0; page < PAGES; page++)
		if (pread(fd, &all->truth[page], sizeof(uint64_t), page * PAGE) != sizeof(uint64_t))
			die("pread");
	atomic_store(&all->phase, COMPARE);
	pids[FRESH] = mapper(FRESH);
	end = now_ns() + 4 * PATIENT_NS;
	while (atomic_load(&all->compared) < READERS + 1) {
		if (now_ns() > end) {
			fputs("reflink: a load does not return\n", stderr);
			exit(1);
		}
		usleep(1000);
	}
	atomic_store(&all->phase, STORE);
	reap(pids, READERS + 1, old, fresh);
	for (int who = 0; who < READERS + 1; who++) {
		struct found *found = who == FRESH ? fresh : old;

		found->pages += PAGES;
		found->wrong += all->wrong[who];
		for (int page = 0; page < PAGES; page++) {
			uint64_t word;

			if (pread(fd, &word, sizeof(word),
				  page * PAGE + (1 + who) * sizeof(word)) != sizeof(word))
				die("pread");
			found->lost += word != stored_by(who, page);
		}
	}
}

static void file_make(void)
{
	static char zeroes[PAGES * PAGE];

	unlink(source);
	fd = open(source, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (fd < 0 || ftruncate(fd, GIB) || pwrite(fd, zeroes, sizeof(zeroes), 0) != sizeof(zeroes))
		die(source);
}

static bool report(const char *which, const struct found *found)
{
	printf("%s mappings: %ld of %ld pages wrong; %ld of %ld never store, %ld die of it, "
	       "%ld stores lost\n",
	       which, found->wrong, found->pages, found->hung, found->stores, found->killed,
	       found->lost);
	return !found->wrong && !found->hung && !found->killed && !found->lost;
}

int main(int argc, char **argv)
{
	static const struct option known[] = { { "rounds", required_argument, NULL, 'r' }, { 0 } };
	struct found old = { 0 }, fresh = { 0 };
	long attached = tables_now().attach;
	int option, rounds = 10;
	bool good;

	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (option != 'r') {
			fprintf(stderr, "usage: reflink [--rounds 10]    (of %d copies each)\n",
				COPIES);
			return 2;
		}
		rounds = atoi(optarg);
	}
	all = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (all == MAP_FAILED)
		die("mmap");
	for (int round = 0; round < rounds; round++) {
		pid_t pids[READERS + 1];

		memset(all, 0, sizeof(*all));
		file_make();
		for (int who = 0; who < READERS; who++)
			pids[who] = mapper(who);
		while (atomic_load(&all->turns) < READERS)
			usleep(1000);
		copy_on_write(round);
		rest_and_look(pids, &old, &fresh);
		close(fd);
	}
	unlink(source);
	unlink(clone);
	good = report("old", &old);
	good &= report("fresh", &fresh);
	if (sharing_on() && tables_now().attach == attached) {
		puts("no table was shared although sharing is on");
		good = false;
	}
	return !good;
}
