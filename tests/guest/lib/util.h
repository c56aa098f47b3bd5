/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What every test program needs of time, processes and processors.
 */
#ifndef UTIL_H
#define UTIL_H

#include <stdint.h>
#include <sys/types.h>

/* CLOCK_MONOTONIC. */
int64_t now_ns(void);
int64_t now_ms(void);
void pause_ms(int milliseconds);

/* Says what failed and why (errno), and exits with 1. */
_Noreturn void die(const char *what);

/*
 * fork() that flushes stdout before, dies when it fails, and kills the child
 * when its parent dies.
 */
pid_t fork_child(void);

/* Moves this thread to a processor; numbers beyond the last wrap around. */
void pin_to(int processor);

#endif
