/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How long the exit of a process that has much of a DAX file mapped holds up
 * another one that begins to use the file, and what a process that begins to
 * use it keeps from its other threads while it waits; see README.md.
 */
#include "../lib/observe.h"
#include "../lib/util.h"

#include <fcntl.h>
#include <getopt.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <signal.h>
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
#define MOST	   2.0	    /* times as long as without sharing */
#define ENOUGH_NS  50000000 /* that a first fault waits, or there is nothing to see */

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

/* Between them: what the others wait for, and how long. */
static struct {
	_Atomic bool ready, walking, over;
	_Atomic int64_t fault_ns, other_ns;
	_Atomic long turns;
} *first;

/* Advice that changes the vma, for which it has to be locked, but no page table. */
static void *advise(void *at)
{
	pin_to(3);
	while (!atomic_load(&first->over)) {
		bool walking = atomic_load(&first->walking);
		int64_t began = now_ns(), took;

		if (madvise(at, GIB,
			    atomic_load(&first->turns) % 2 ? MADV_SEQUENTIAL : MADV_NORMAL))
			die("madvise");
		took = now_ns() - began;
		if (walking && took > atomic_load(&first->other_ns))
			atomic_store(&first->other_ns, took);
		atomic_fetch_add(&first->turns, 1);
	}
	return NULL;
}

/* One thread begins to use a gigabyte while a walk is under way, another one has other business. */
static void fault_first(int gib)
{
	char *at = mmap(SMALL, GIB, PROT_READ, MAP_SHARED | MAP_FIXED, fd, gib * GIB);
	pthread_t other;
	int64_t began;

	pin_to(2);
	if (at == MAP_FAILED || pthread_create(&other, NULL, advise, at))
		die("mmap");
	while (atomic_load(&first->turns) < 100)
		usleep(1000);
	atomic_store(&first->ready, true);
	while (!atomic_load(&first->walking))
		;
	usleep(20000);
	began = now_ns();
	(void)*(volatile char *)at;
	atomic_store(&first->fault_ns, now_ns() - began);
	atomic_store(&first->over, true);
	pthread_join(other, NULL);
	_exit(0);
}

/*
 * A hole of all that one process maps keeps the file's i_mmap_rwsem for reading.  Another process
 * needs it to attach to a table whose entries are there already.  In which it must not keep the vma
 * from others.
 */
static int first_faults(int gib, int rounds)
{
	int64_t fault = 0, other = 0;

	first = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (first == MAP_FAILED)
		die("mmap");
	for (int round = 0; round < rounds; round++) {
		pid_t big, warm, cold;
		long attached;
		int status;

		memset(first, 0, sizeof(*first));
		memset(all, 0, sizeof(*all));
		write_text(SWITCH, "0");
		big = fork_child();
		if (big == 0)
			map_and_leave(gib);
		while (!atomic_load(&all->running))
			usleep(1000);
		write_text(SWITCH, "1");
		attached = tables_now().attach;
		warm = fork_child();
		if (warm == 0) {
			char *at = mmap(SMALL, GIB, PROT_READ, MAP_SHARED | MAP_FIXED, fd,
					gib * GIB);

			if (at == MAP_FAILED)
				die("mmap");
			(void)*(volatile char *)at;
			for (;;)
				pause();
		}
		while (tables_now().attach == attached)
			usleep(1000);
		cold = fork_child();
		if (cold == 0)
			fault_first(gib);
		while (!atomic_load(&first->ready))
			usleep(1000);
		atomic_store(&first->walking, true);
		if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, gib * GIB))
			die("fallocate");
		waitpid(cold, &status, 0);
		printf("# a first fault waited for %lld us, another thread for %lld us\n",
		       (long long)first->fault_ns / 1000, (long long)first->other_ns / 1000);
		fflush(stdout);
		if (tables_now().attach - attached != 2) {
			fputs("stalls: the first fault did not attach\n", stderr);
			return 1;
		}
		/* The round in which the walk was the longest tells most. */
		if (first->fault_ns > fault) {
			fault = first->fault_ns;
			other = first->other_ns;
		}
		atomic_store(&all->leave, true);
		kill(warm, SIGKILL);
		waitpid(warm, &status, 0);
		waitpid(big, &status, 0);
	}
	printf("longest wait of a first fault %lld us, meanwhile of another thread %lld us\n",
	       (long long)fault / 1000, (long long)other / 1000);
	if (fault < ENOUGH_NS) {
		fputs("stalls: no first fault had to wait\n", stderr);
		return 1;
	}
	return other * 2 > fault;
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
					       { "first-faults", no_argument, NULL, 'f' },
					       { 0 } };
	int64_t ns[2][MAX_ROUNDS];
	int option, gib = 100, rounds = 5;
	bool good = true, faults = false;
	double ratio;

	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (option == 'g') {
			gib = atoi(optarg);
		} else if (option == 'r' && atoi(optarg) <= MAX_ROUNDS) {
			rounds = atoi(optarg);
		} else if (option == 'f') {
			faults = true;
		} else {
			fputs("usage: stalls [--first-faults] [--gib 100] [--rounds 5]\n", stderr);
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
	if (faults)
		return first_faults(gib, rounds);
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
