/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How often anybody had to wait for a lock, as the kernel counts it (CONFIG_LOCK_EVENT_COUNTS, set
 * in kernels of the variant "locks"). It counts no lock that was free, which costs nobody anything.
 */
#ifndef LOCKEVENTS_H
#define LOCKEVENTS_H

/* Since boot, over all locks of a kind. */
struct lock_events {
	long contended_writes; /* of read-write semaphores: got after spinning or queueing */
	long contended_reads;  /* got after queueing */
	long sleeps;	       /* of either, while waiting */
	long contended_spins;  /* spinlocks that were not free */
};

struct lock_events lock_events(void);

#endif
