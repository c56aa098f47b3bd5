/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How long the exit of a process that has much of a DAX file mapped holds up
 * another one that begins to use the file; see README.md.
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
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE	   4096UL
#define UNIT	   (2UL << 20)
#define GIB	   (1UL << 30)
#define BIG	   ((char *)0x100000000000UL)
#define SMALL	   ((char *)0x300000000000UL)
#define SWITCH	   "/proc/sys/vm/dax_share_page_tables"
#define MAX_ROUNDS 32
#define MOST	   2.0 /* times as long as without sharing */

static struct { /* shared with the other processes */
	_Atomic bool running, leave, gone;
	_Atomic int64_t longest_ns;
	_Atomic long turns;
} *all;

static const char *path = "/mnt/dax/stalls";
static int fd;

/* 4 KiB entries, one in each table of PTEs: the most tables for the fewest faults. */
static void map_and_leave(int gib)
{
	char *big = mmap(BIG, gib * GIB, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0);

	pin_to(1);
	if (big == MAP_FAILED || madvise(big, gib * GIB, MADV_NOHUGEPAGE))
		die("mmap");
	for (unsigned long at = 0; at < gib * GIB; at += UNIT)
		(void)*(volatile char *)(big + at);
	atomic_store(&all->running, true);
	while (!atomic_load(&all->leave))
		usleep(1000);
	_exit(0);
}

/* Maps a gigabyte that nobody else has, touches it and unmaps it, over and over. */
static void begin_to_use(int gib)
{
	pin_to(2);
	while (!atomic_load(&all->gone)) {
		int64_t began = now_ns(), took;
		char *small = mmap(SMALL, GIB, PROT_READ, MAP_SHARED | MAP_FIXED, fd, gib * GIB);

		if (small == MAP_FAILED)
			die("mmap");
		(void)*(volatile char *)small;
		munmap(small, GIB);
		took = now_ns() - began;
		if (atomic_load(&all->leave) && took > atomic_load(&all->longest_ns))
			atomic_store(&all->longest_ns, took);
		atomic_fetch_add(&all->turns, 1);
	}
	_exit(0);
}

/* The longest turn of the one while the other leaves, in ns. */
static int64_t stall(int gib)
{
	pid_t big, small;
	long turns;
	int status;

	memset(all, 0, sizeof(*all));
	big = fork_child();
	if (big == 0)
		map_and_leave(gib);
	while (!atomic_load(&all->running)) {
		if (waitpid(big, &status, WNOHANG))
			exit(1); /* it has said why */
		usleep(1000);
	}
	small = fork_child();
	if (small == 0)
		begin_to_use(gib);
	while (atomic_load(&all->turns) < 100)
		usleep(1000);
	atomic_store(&all->leave, true);
	waitpid(big, &status, 0);
	/* The turn that it has held up is over as well. */
	turns = atomic_load(&all->turns);
	while (atomic_load(&all->turns) < turns + 2)
		usleep(1000);
	atomic_store(&all->gone, true);
	waitpid(small, &status, 0);
	return all->longest_ns;
}

static int by_size(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	static const struct option known[] = { { "gib", required_argument, NULL, 'g' },
					       { "rounds", required_argument, NULL, 'r' },
					       { 0 } };
	int64_t ns[2][MAX_ROUNDS];
	int option, gib = 100, rounds = 5;
	bool good = true;
	double ratio;

	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (option == 'g') {
			gib = atoi(optarg);
		} else if (option == 'r' && atoi(optarg) <= MAX_ROUNDS) {
			rounds = atoi(optarg);
		} else {
			fputs("usage: stalls [--gib 100] [--rounds 5]\n", stderr);
			return 2;
		}
	}
	if (!sharing_known()) {
		fputs("stalls: this kernel has no switch to compare by\n", stderr);
		return 2;
	}
	all = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (all == MAP_FAILED || fd < 0 || ftruncate(fd, (gib + 1) * GIB))
		die(path);
	for (int round = 0; round < rounds; round++) {
		for (int on = 0; on < 2; on++) {
			long attached = tables_now().attach;

			write_text(SWITCH, on ? "1" : "0");
			ns[on][round] = stall(gib);
			printf("# %d GiB, sharing %s: the other waited for %lld us\n", gib,
			       on ? "on" : "off", (long long)ns[on][round] / 1000);
			fflush(stdout);
			attached = tables_now().attach - attached;
			good &= on ? attached > gib : attached == 0;
		}
	}
	qsort(ns[0], rounds, sizeof(**ns), by_size);
	qsort(ns[1], rounds, sizeof(**ns), by_size);
	ratio = (double)ns[1][rounds / 2] / ns[0][rounds / 2];
	printf("%d GiB: longest wait next to an exit, median of %d: %lld us off, %lld us on, ratio %.2f\n",
	       gib, rounds, (long long)ns[0][rounds / 2] / 1000,
	       (long long)ns[1][rounds / 2] / 1000, ratio);
	close(fd);
	unlink(path);
	return !good || ratio > MOST;
}
