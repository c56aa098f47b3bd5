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
/* More than whatever else comes and goes meanwhile. */
#define TRIED_TABLES 64
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

/* All processors' counts, which the kernel adds up on request only. */
static long count_page_tables(void)
{
	static const char name[] = "\nnr_page_table_pages ";
	static char text[32 << 10];
	int refresh = open("/proc/sys/vm/stat_refresh", O_WRONLY | O_CLOEXEC);
	int fd = open("/proc/vmstat", O_RDONLY | O_CLOEXEC);
	ssize_t length = -1;
	const char *found;

	if (refresh >= 0 && write(refresh, "1", 1) == 1)
		length = read(fd, text, sizeof(text) - 1);
	close(refresh);
	close(fd);
	text[length > 0 ? length : 0] = '\0';
	found = strstr(text, name);
	return found ? strtol(found + strlen(name), NULL, 10) : -1;
}

/* Have page tables made and give them back; returns the count right after that, or -1. */
static long give_back(size_t tables)
{
	const size_t size = tables * TABLE_SPAN;
	char *area = mmap(NULL, size, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (area == MAP_FAILED)
		return -1;
	madvise(area, size, MADV_NOHUGEPAGE);
	for (size_t at = 0; at < size; at += TABLE_SPAN)
		area[at] = 1;
	munmap(area, size);
	return count_page_tables();
}

/* Find out whether this kernel frees page tables later than they are given back. */
void try_deferral(void)
{
	long before = count_page_tables();

	deferred = give_back(TRIED_TABLES) >= before + TRIED_TABLES / 2;
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
	long marked, before;
	uint64_t start;

	if (!deferred || !milliseconds)
		return true;
	start = now_ms();
	marked = give_back(MARKER_TABLES);
	before = marked;
	for (int still = 0; still < STILL;) {
		long now;

		if (now_ms() - start >= milliseconds)
			return false;
		wait_for_grace_period();
		now = count_page_tables();
		still = now == before && now <= marked - MARKER_TABLES ? still + 1 : 0;
		before = now;
	}
	return true;
}
