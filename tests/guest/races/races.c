/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Two races between write(2) and page faults on a DAX file, neither of which has
 * anything to do with shared page tables; see README.md.
 */
#include "../lib/observe.h"
#include "../lib/util.h"

#include <fcntl.h>
#include <getopt.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE	 4096UL
#define UNIT	 (2UL << 20)
#define UNITS	 512	      /* a gigabyte, which can share; each is a hole that is filled once */
#define OURS	 (3 * PAGE)   /* of a unit: what this process stores */
#define THEIRS	 (511 * PAGE) /* what the other process stores */
#define VIEWS	 64	      /* mappings that an unmapping walk goes through, in this order */
#define VIEWS_AT 0x210000000000
#define GIB	 (1UL << 30)
#define STEPS	 100 /* the delays that are tried, one after another */
#define STEP_NS	 20000
#define LASTS_NS 20000000000LL /* no fault and no write takes that long */

static const char *path = "/mnt/dax/races";
static int fd;

static struct { /* shared with the other process: units so far */
	_Atomic int begin, ended;
} *turn;

struct stale {
	int loads, zero;
	int64_t total_ns, longest_ns;
};

static char *map_at(uintptr_t address, int protection)
{
	char *map = mmap((void *)address, UNITS * UNIT, protection, MAP_SHARED | MAP_FIXED, fd, 0);

	if (map == MAP_FAILED)
		die("mmap");
	return map;
}

static volatile uint64_t *word_at(char *map, int unit, unsigned long page)
{
	return (volatile uint64_t *)(map + unit * UNIT + page);
}

static void store(char *map, int unit, unsigned long page, uint64_t word)
{
	*word_at(map, unit, page) = word;
}

static void write_file(int unit, unsigned long page, uint64_t word)
{
	if (pwrite(fd, &word, sizeof(word), unit * UNIT + page) != sizeof(word))
		die("pwrite");
}

/* In each unit, when it is its turn, stores to a page of its own. */
static pid_t other(bool writes)
{
	pid_t pid = fork_child();

	if (pid)
		return pid;
	char *map = map_at(0x300000000000, PROT_READ | PROT_WRITE);

	pin_to(1);
	for (int unit = 0; unit < UNITS; unit++) {
		while (atomic_load(&turn->begin) < unit)
			;
		if (writes)
			write_file(unit, THEIRS, 1);
		else
			store(map, unit, THEIRS, 1);
		atomic_store(&turn->ended, unit);
	}
	_exit(0);
}

/* Loads until the word is there.  Returns how long that took, or -1: it was there at once. */
static int64_t stale_ns(volatile uint64_t *place, uint64_t word)
{
	int64_t since, lasted = 0;

	if (*place == word)
		return -1;
	since = now_ns();
	while (*place != word && lasted < LASTS_NS)
		lasted = now_ns() - since;
	return lasted;
}

/*
 * The other process stores to a hole of 2 MiB, and so does this one a little
 * later: by write(2) if the other does by instruction, and the reverse.
 */
static void race(bool other_writes, struct stale *stale)
{
	char *views[VIEWS], *stores;
	pid_t pid;

	turn->begin = turn->ended = -1;
	for (int i = 0; i < VIEWS; i++)
		views[i] = map_at(VIEWS_AT + i * GIB, PROT_READ);
	stores = map_at(0x220000000000, PROT_READ | PROT_WRITE);
	pid = other(other_writes);
	for (int unit = 0; unit < UNITS; unit++) {
		volatile uint64_t *place = word_at(views[VIEWS - 1], unit, OURS);
		uint64_t word = 0x7261636500000000 | unit;
		int64_t begin, lasted;

		for (int i = 0; i < VIEWS; i++)
			(void)*word_at(views[i], unit, OURS); /* maps the huge zero page */
		atomic_store(&turn->begin, unit);
		begin = now_ns() + unit % STEPS * STEP_NS;
		while (now_ns() < begin)
			;
		if (other_writes)
			store(stores, unit, OURS, word);
		else
			write_file(unit, OURS, word);
		lasted = stale_ns(place, word);
		stale->loads++;
		if (lasted >= 0) {
			stale->zero++;
			stale->total_ns += lasted;
			if (lasted > stale->longest_ns)
				stale->longest_ns = lasted;
		}
		while (atomic_load(&turn->ended) < unit)
			if (waitpid(pid, NULL, WNOHANG) == pid && turn->ended < unit)
				exit(1); /* it has said why */
	}
	waitpid(pid, NULL, 0);
	munmap((void *)VIEWS_AT, VIEWS * GIB);
	munmap(stores, UNITS * UNIT);
}

static bool report(bool other_writes, int rounds, bool strict)
{
	struct stale stale = { 0 };

	for (int i = 0; i < rounds; i++) {
		fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
		if (fd < 0 || ftruncate(fd, UNITS * UNIT))
			die(path);
		race(other_writes, &stale);
		close(fd);
		unlink(path);
	}
	printf("%s: %d of %d loads right after it gave zero, for %lld us, at most %lld us\n",
	       other_writes ? "a store during a write(2)" : "a write(2) during a page fault",
	       stale.zero, stale.loads,
	       stale.zero ? (long long)stale.total_ns / stale.zero / 1000 : 0,
	       (long long)stale.longest_ns / 1000);
	return stale.longest_ns < LASTS_NS && !(strict && stale.zero);
}

int main(int argc, char **argv)
{
	static const struct option known[] = {
		{ "rounds", required_argument, NULL, 'r' },
		{ "strict", no_argument, NULL, 's' },
		{ 0 },
	};
	bool good, strict = false;
	int option, rounds = 4;
	long attached;

	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (option == 'r') {
			rounds = atoi(optarg);
		} else if (option == 's') {
			strict = true;
		} else {
			fputs("usage: races [--rounds N] [--strict]    (4, of 512 holes of 2 MiB each)\n"
			      "--strict fails if a load has given zero at all, as no kernel with "
			      "fsdax-fixes lets it\n",
			      stderr);
			return 2;
		}
	}
	turn = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (turn == MAP_FAILED)
		die("mmap");
	pin_to(0);
	attached = tables_now().attach;
	good = report(false, rounds, strict);
	good &= report(true, rounds, strict);
	if (!good && !strict)
		puts("one was not over after 20 s");
	if (sharing_on() && tables_now().attach == attached) {
		puts("no table was shared although sharing is on");
		good = false;
	}
	return !good;
}
