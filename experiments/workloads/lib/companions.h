/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Companions: threads of this process, one on each further processor, that spin.
 *
 * A processor is interrupted to flush its TLB only if it runs the address space that changes.
 */
#ifndef COMPANIONS_H
#define COMPANIONS_H

#include <pthread.h>

#define MAX_COMPANIONS 7

struct companions {
	int count, stop, running;
	pthread_t threads[MAX_COMPANIONS];
};

/* Move this thread to processor 0, and start `count` companions on processors 1 and up. */
void companions_start(struct companions *all, int count);
void companions_stop(struct companions *all);

#endif
