/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Waiting until page tables that were given back are free, and no longer counted.
 *
 * Where others may walk them without a lock, the kernel frees page tables after an RCU grace period
 * (tlb_remove_table() in mm/mmu_gather.c). Linux 7.x always does, 6.12 under some hypervisors only;
 * so it is tried once, before the first job, and a kernel that frees at once is not waited for.
 */
#include <fcntl.h>
#include <linux/membarrier.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"

/* What one page of entries maps on x86-64. */
#define TABLE_SPAN (2UL << 20)
/*
 * A count that nobody folded may be off by 125 for each processor (calculate_normal_threshold() in
 * mm/vmstat.c), and we may have been on two.
 */
#define TRIED_TABLES 512
/* A host that takes the processor away for long enough lets a grace period pass during a try. */
#define TRIES 4
/* Given back behind what is in flight: callbacks of a processor run in their order. */
#define MARKER_TABLES 8

#define STILL 2

static bool deferred;

/*
 * Wait for an RCU grace period, and for a tick, at which its callbacks run. By time alone it cannot
 * be done: to a guest on a busy host no tick may come for as long. Closing a packet socket waits
 * for one whatever the number of processors (packet_release() in net/packet/af_packet.c), and
 * membarrier() where there are several; both may expedite it while the network is set up.
 */
static void wait_for_grace_period(void)
{
	const struct timespec tick = { .tv_nsec = 10000000L };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	if (fd >= 0)
		close(fd);
	else
		syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
	nanosleep(&tick, NULL);
}

/* The count as the kernel has it, without what processors have not folded in. */
static long read_page_tables(void)
{
	static const char name[] = "\nnr_page_table_pages ";
	static char text[32 << 10];
	int fd = open("/proc/vmstat", O_RDONLY | O_CLOEXEC);
	ssize_t length = read(fd, text, sizeof(text) - 1);
	const char *found;

	close(fd);
	text[length > 0 ? length : 0] = '\0';
	found = strstr(text, name);
	return found ? strtol(found + strlen(name), NULL, 10) : -1;
}

/* All processors' counts, which the kernel adds up on request only; sleeps. */
static long count_page_tables(void)
{
	int refresh = open("/proc/sys/vm/stat_refresh", O_WRONLY | O_CLOEXEC);
	const bool folded = write(refresh, "1", 1) == 1;

	close(refresh);
	return folded ? read_page_tables() : -1;
}

/* Room for as many tables that no neighbour shares, wherever it is. */
static size_t room_for(size_t tables)
{
	return (tables + 1) * TABLE_SPAN;
}

/* Have page tables made, each with an entry for the zero page; NULL if there is no room. */
static void *make_tables(size_t tables)
{
	char *area = mmap(NULL, room_for(tables), PROT_READ,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	const volatile char *at;

	if (area == MAP_FAILED)
		return NULL;
	madvise(area, room_for(tables), MADV_NOHUGEPAGE);
	at = area + (-(uintptr_t)area & (TABLE_SPAN - 1));
	for (size_t i = 0; i < tables; i++)
		(void)at[i * TABLE_SPAN];
	return area;
}

/*
 * Whether page tables are still counted after they were given back. Between the two nothing may
 * sleep, so that no grace period has the time to pass; folding the counts does.
 */
static bool some_in_flight(void)
{
	const long before = count_page_tables();
	void *area = before < 0 ? NULL : make_tables(TRIED_TABLES);

	if (!area)
		return false;
	munmap(area, room_for(TRIED_TABLES));
	return read_page_tables() >= before + TRIED_TABLES / 2;
}

/* Find out whether this kernel frees page tables later than they are given back. */
void try_deferral(void)
{
	for (int i = 0; i < TRIES && !deferred; i++)
		deferred = some_in_flight();
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/*
 * Wait until the page tables that were given back are free; false if they are not within the time.
 * They are when those are that are given back now, and the count then stands still.
 */
bool settle(unsigned long milliseconds)
{
	long held, before;
	uint64_t start;
	void *area;

	if (!deferred || !milliseconds)
		return true;
	start = now_ms();
	area = make_tables(MARKER_TABLES);
	/* Now, because after munmap() it would depend on how fast they are freed. */
	held = count_page_tables();
	before = held;
	if (area)
		munmap(area, room_for(MARKER_TABLES));
	else
		held += MARKER_TABLES;
	for (int still = 0; still < STILL;) {
		long now;

		if (now_ms() - start >= milliseconds)
			return false;
		wait_for_grace_period();
		now = count_page_tables();
		still = now == before && now <= held - MARKER_TABLES ? still + 1 : 0;
		before = now;
	}
	return true;
}
