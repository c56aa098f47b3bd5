/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a load may give, at any time, although files are truncated, punched
 * and written by many at once.
 *
 * Loads and stores go to a few pages of every file, its spots.  A stored word
 * names its file, its spot and a sequence number.  A spot has one owner, the
 * only process that stores there through shared mappings, so:
 *
 *  - a word found in a file is zero or names the very place it is found at;
 *  - the numbers found at a spot never go down;
 *  - a store that was published before the load began is found, or a later
 *    one, unless a part of the file was destroyed in between.
 *
 * Destruction (truncate, punch, zero) is counted when it begins and when it
 * ends, by each process in a word of its own: one that is killed leaves it odd
 * or even, and nothing else.  A store or load is only held to the third rule if
 * nothing was under way before it or after it.
 *
 * What the kernel copies (write, /proc/PID/mem, O_DIRECT, ptrace) it may copy
 * byte by byte, as `rep movsb` does under emulation.  Who meets that finds half
 * of the word before and half of the one after, and is held to no rule.
 *
 * write(2) to a hole is special, with page tables shared or not; ../races shows
 * both on a kernel without sharing.  While it lasts, what others store by
 * instruction to the same 2 MiB may not be seen by all.  And if another process
 * is just storing there for the first time, its page fault may have allocated the
 * block already, but not yet unmapped the zero page: what was written may be read
 * at once, but mappings show zero until that fault is over.
 *
 * Copies in private mappings name their process instead of a file: nobody
 * else may ever find one.
 */
#ifndef TRUTH_H
#define TRUTH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define PAGE	   4096ULL
#define UNIT	   (2ULL << 20)
#define GIB	   (1ULL << 30)
#define FILE_BYTES (2 * GIB)

#define MAX_FILES      8
#define MAX_PROCESSES  64
#define SPOTS	       30
#define SPOTS_PER_UNIT 3

/* One page of every file that is loaded from and stored to. */
uint64_t spot_offset(int spot);

/* All of it lives in memory shared by all processes. */
struct spot {
	_Atomic uint64_t published; /* sequence << 32 | destructions, of the last sure store */
	_Atomic uint32_t reserved;  /* last sequence number given out */
	_Atomic uint32_t busy;	    /* a thread of the owner is storing */
	_Atomic uint32_t copies;    /* stores by the kernel: begun plus ended */
	_Atomic uint32_t written;   /* last sequence number stored by write(2) */
};

struct file_truth {
	int fd;
	_Atomic uint64_t size;			      /* changed while destruction is under way */
	_Atomic int resizing;			      /* process + 1 that may change the size */
	_Atomic uint32_t destructions[MAX_PROCESSES]; /* begun plus ended, by each */
	struct spot spots[SPOTS];
};

struct truth {
	int files, processes;
	struct file_truth file[MAX_FILES];
};

int spot_owner(const struct truth *truth, int file, int spot);

uint64_t shared_word(int file, int spot, uint32_t sequence);
uint64_t private_word(int process, int spot, uint32_t sequence);
uint32_t word_sequence(uint64_t word);
bool belongs_there(int file, int spot, uint64_t word); /* it is zero or names this place */
bool is_private_word_of(uint64_t word, int process, int spot);

/* A moment at which nothing was being destroyed, or none. */
struct calm {
	bool calm;
	uint32_t destructions; /* begun plus ended, so far, by all */
};

struct calm calm_now(const struct file_truth *file);
bool calm_still(const struct file_truth *file, struct calm since);
void destruction_begins(struct file_truth *file, int process);
void destruction_ends(struct file_truth *file, int process); /* or has ended before */

/* The owner's side of a store: reserve, store, publish. */
uint32_t store_reserve(struct spot *spot);
void copy_begins(struct spot *spot);
void copy_ends(struct spot *spot); /* likewise */
void store_publish(struct file_truth *file, int spot, uint32_t sequence, struct calm before);

/* What must be known before a load to judge its word afterwards. */
struct expectation {
	struct calm calm;
	uint64_t published;
	uint64_t size;
	uint32_t reserved, busy;
	uint32_t copies; /* of all spots in the same 2 MiB */
	bool copying;
	bool written; /* what was published last, by write(2) */
};

enum loaded { BY_INSTRUCTION, BY_COPY };

struct expectation expect_before(const struct file_truth *file, int spot);
/* NULL if @word is right, or what is wrong with it.  @seen: the reader's highest. */
const char *judge(const struct truth *truth, int file, int spot, uint64_t word,
		  struct expectation before, enum loaded how, uint32_t *seen);
/* Is @word wrong only if it stays so?  See above. */
bool may_linger(uint64_t word, struct expectation before);

#endif
