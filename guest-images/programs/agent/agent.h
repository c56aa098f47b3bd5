/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The guest agent: runs jobs for the host and copies counters to it, phase by phase.
 *
 * Host and agent talk over one byte stream (a virtio-serial port named "driver.agent").
 *
 * Host to guest, one job, every line ended by '\n'; WORD is percent-escaped (bytes outside
 * '!'..'~' and '%' itself become %XX), so that it holds neither blanks nor line ends:
 *
 *   job 1                  opens a job; 1 is the version of this protocol
 *   write PATH TEXT        write TEXT to PATH once, before the command starts
 *   refresh PATH TEXT      write TEXT to PATH before every sampling
 *   source PATH            copy this file at every phase; "kpageflags" is built in
 *   worker-source NAME     copy /proc/PID/NAME at every phase
 *   worker-limit N         ... for the first N processes the phase names; 0: all of them
 *   settle MS              wait so long, before every sampling, for page tables to be freed
 *   arg WORD               next word of the command
 *   end                    run it
 *
 * Guest to host, frames: "TYPE LENGTH KEY=WORD ...\n" and then LENGTH bytes of payload:
 *
 *   ready   protocol= release=                 the agent waits for a job
 *   output                                     payload: what the job printed
 *   phase   name= time_ns=                     the job announced a phase
 *   sample  phase= source= [process=] time_ns= payload: the text of a source; with unsettled=1 if
 *           [unsettled=]                       page tables were still being freed
 *   value   phase= name= unit= value=          a number the job measured
 *   exit    status= | signal=                  the job ended; it is over
 *   error                                      payload: why the job could not be done as asked;
 *                                              it is over, and its processes are gone
 *
 * Between agent and job: TRIAL_FD in the job's environment is one end of a SOCK_SEQPACKET pair.
 * "phase NAME PID ..." asks for a sampling, answered "go" when it is done; "value NAME UNIT
 * NUMBER" reports a number and is not answered. NAME and UNIT hold no blanks.
 *
 * The agent has no timer but in settle.c, reads no clock but CLOCK_MONOTONIC at a phase and there,
 * and allocates and touches its memory before the first job, so that neither repeatability nor the
 * page-table counters suffer from it.
 */
#ifndef AGENT_H
#define AGENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PROTOCOL "1"

#define MAX_JOB_TEXT 65536
#define MAX_WORDS    1024
#define MAX_WRITES   64
#define MAX_SOURCES  64
#define MAX_REASON   512

struct file_write {
	const char *path;
	const char *text;
};

struct job {
	char *argv[MAX_WORDS + 1];
	size_t words;
	struct file_write setup[MAX_WRITES];
	size_t setups;
	struct file_write refresh[MAX_WRITES];
	size_t refreshes;
	const char *sources[MAX_SOURCES];
	size_t source_count;
	const char *worker_sources[MAX_SOURCES];
	size_t worker_source_count;
	unsigned long worker_limit;
	unsigned long settle_ms;
	/* Why the job cannot be done; empty while it can. */
	char reason[MAX_REASON];
};

/* give-up.c */
__attribute__((format(printf, 1, 2), noreturn)) void give_up(const char *format, ...);

/* port.c */
int open_port(const char *name);

/* frame.c: these end the agent when the channel is broken, which init turns into a panic. */
void send_frame(int channel, const char *type, const char *keys, const void *payload,
		size_t length);
const char *escape(const char *text, char *into, size_t size);
bool unescape(char *text);

/* job.c */
enum { JOB_EOF, JOB_READ };
int read_job(int channel, struct job *job);
void forget_input(void);
__attribute__((format(printf, 2, 3))) void refuse(struct job *job, const char *format, ...);

/* trigger.c */
int open_trigger(void);
bool read_first_job(int trigger, struct job *job);
int read_next_job(int channel, int trigger, struct job *job, bool *last);
_Noreturn void halt_machine(void);

/* freeze.c */
void freeze_machine(void);

/* run.c */
void run_job(int channel, struct job *job);

/* sample.c */
void prepare_sampling(void);
bool make_writes(struct job *job, const struct file_write *writes, size_t count);
bool sample_system(int channel, struct job *job, const char *phase, uint64_t time_ns);
bool sample_worker(int channel, struct job *job, const char *phase, uint64_t time_ns,
		   unsigned long index, pid_t pid);

/* settle.c */
void try_deferral(void);
bool settle(unsigned long milliseconds);

/* kpageflags.c */
ssize_t read_kpageflags(char *into, size_t size);

#endif
