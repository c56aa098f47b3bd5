/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Workers: the processes (or threads) a case drives by remote control.
 *
 * A case is then a straight line of text: who does what, and what everybody
 * sees afterwards.  A worker executes one command at a time out of a mailbox
 * in memory it shares with the case; it never decides anything itself.
 */
#ifndef WORKER_H
#define WORKER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/types.h>

#define MAX_WORKERS   40
#define SCRATCH_BYTES 2048

/* How an access to memory ended: signal 0 and a value, or a signal. */
struct touch {
	int signal;	  /* 0, SIGSEGV or SIGBUS */
	int code;	  /* si_code */
	uint64_t address; /* si_addr */
	uint64_t value;	  /* what was loaded */
};

struct worker {
	const char *name; /* for messages */
	int slot;	  /* its mailbox */
	pid_t pid;	  /* of the process it lives in */
	bool thread;	  /* it shares pid with an earlier worker */
	bool gone;	  /* its end has been collected */
};

/* To be called by the case before the first worker. */
void workers_prepare(void);

struct worker *worker_start(const char *name);			       /* forked from the case */
struct worker *worker_fork(struct worker *parent, const char *name);   /* fork(2) by a worker */
struct worker *worker_thread(struct worker *parent, const char *name); /* shares its mm */
void worker_pin(struct worker *w, int cpu);

/* Any system call; returns its result or -errno. */
long worker_call(struct worker *w, long number, const uint64_t arguments[6]);
#define call(w, number, ...) worker_call(w, number, (const uint64_t[6]){ __VA_ARGS__ })
/* The same in two steps, for calls that are meant to wait. */
void worker_call_begin(struct worker *w, long number, const uint64_t arguments[6]);
#define call_begin(w, number, ...) worker_call_begin(w, number, (const uint64_t[6]){ __VA_ARGS__ })
bool worker_done(struct worker *w, int milliseconds);
long worker_call_end(struct worker *w);
/* A call that its caller may be sent a signal for: that, or its result or -errno as the value. */
struct touch worker_call_guarded(struct worker *w, long number, const uint64_t arguments[6]);
#define call_guarded(w, number, ...) \
	worker_call_guarded(w, number, (const uint64_t[6]){ __VA_ARGS__ })
/* The same repeatedly, until repeat_end() or a failure; then its last result. */
void worker_repeat(struct worker *w, long number, const uint64_t arguments[6]);
#define repeat_begin(w, number, ...) worker_repeat(w, number, (const uint64_t[6]){ __VA_ARGS__ })
long repeat_end(struct worker *w);

/*
 * While the gate is closed workers begin nothing they are asked to do, but wait
 * in user mode, each on its processor.  When @count have arrived it opens, and
 * they go ahead at the same moment.
 */
void gate_close(void);
void gate_open(int count);
/* Each time it has passed the gate, @w first counts to @count, in user mode. */
void gate_delay(struct worker *w, uint32_t count);

/* Memory that has the same address in the case and in every worker. */
void *worker_scratch(struct worker *w);
#define ADDRESS_OF(pointer) ((uint64_t)(uintptr_t)(pointer))

struct touch worker_load(struct worker *w, uint64_t address);
struct touch worker_store(struct worker *w, uint64_t address, uint64_t value);
struct touch worker_run(struct worker *w, uint64_t code); /* calls a function there */
void worker_store_begin(struct worker *w, uint64_t address, uint64_t value);
struct touch worker_touch_end(struct worker *w);
/* One load every @stride bytes; ends like worker_find_other(). */
void worker_sweep_begin(struct worker *w, uint64_t address, uint64_t bytes, uint64_t stride,
			uint64_t value);

/* First page in the range whose first word is not @value; ~0 when none is. */
struct touch worker_find_other(struct worker *w, uint64_t address, uint64_t bytes, uint64_t value);
#define ALL_THE_SAME (~0ULL)

/*
 * A spinner loads or stores one word for ever and never enters the kernel, so
 * its processor's TLB stays as warm as it gets.  It ends on spin_stop(), or with
 * the signal it meets.
 */
void spin_load(struct worker *w, uint64_t address);
void spin_store(struct worker *w, uint64_t address);
void spin_store_begin(struct worker *w, uint64_t address); /* does not wait for a first turn */
uint64_t spin_count(struct worker *w);
/* Waits until a whole turn began and ended after this call; false if it met a signal. */
bool spin_turn(struct worker *w);
uint64_t spin_value(struct worker *w); /* last value loaded or stored */
struct touch spin_stop(struct worker *w);

void worker_set_pkru(struct worker *w, uint32_t pkru);
void worker_exec(struct worker *w); /* execs this program, which exits with EXEC_STATUS */
#define EXEC_STATUS   42
#define EXEC_ARGUMENT "--exit-42"

void worker_exit(struct worker *w);   /* exits with status 0 and collects it */
void worker_kill(struct worker *w);   /* SIGKILL, and collects it */
int worker_collect(struct worker *w); /* waits for an end that is due; wait status */

#endif
