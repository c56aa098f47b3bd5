/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The mappings of an actor, and accesses through them.
 *
 * An address determines file, offset and kind for ever: every mapping has two
 * places of its own and nothing else is ever mapped there.  So a thread that
 * stores while another moves or removes the mapping stores the right word or
 * gets SIGSEGV, never a right word in a wrong place.
 */
#ifndef MAPPING_H
#define MAPPING_H

#include "truth.h"

#include <sys/types.h>

#define KINDS	     3 /* two shared mappings and a private one of every file */
#define MAX_MAPPINGS (MAX_FILES * KINDS)

enum access { NOTHING, NO_ACCESS, LOADS, STORES };

struct view { /* of a spot, through a mapping */
	enum access access;
	int place;	    /* 0 or 1 */
	uint64_t copy;	    /* the private word last stored, or 0 */
	struct calm copied; /* when */
};

struct mapping {
	int file;
	bool private;
	uint64_t address[2]; /* where offset 0 would be */
	struct view views[SPOTS];
};

struct range {
	uint64_t start, length; /* of the file */
};

struct actor {
	int process;
	uint64_t random;
	int mapping_count;
	struct mapping mappings[MAX_MAPPINGS];
	uint32_t seen[MAX_FILES][SPOTS];
	uint32_t private_sequence;
	_Atomic uint32_t changes; /* odd while a mapping is being changed */
	int raw_fd;		  /* or -1 */
};

uint64_t draw(uint64_t *random, uint64_t limit); /* 0 .. limit - 1 */

void mappings_prepare(struct actor *a);
void change_begins(struct actor *a);
void change_ends(struct actor *a);
bool spot_in(int spot, struct range range);
struct range draw_range(uint64_t *random);

/* An access that may meet a signal: its number, or 0. */
int try_load(uint64_t address, uint64_t *word);
int try_store(uint64_t address, uint64_t word);
void catch_signals(void);

/*
 * One access through a mapping, with all that can be said about its outcome.
 * What is said is void if the mapping was being changed at the same time.
 */
void load_spot(struct actor *a, struct mapping *m, int spot, uint32_t seen[MAX_FILES][SPOTS]);
void store_spot(struct actor *a, struct mapping *m, int spot);
/*
 * The page of a spot by O_DIRECT, through the place of the raw device that is
 * the caller's own.  The kernel looks it up without a lock, so it is a page
 * that belongs there even if the mapping is being changed, or none.
 */
void pin_spot(struct actor *a, struct mapping *m, int spot, off_t place,
	      uint32_t seen[MAX_FILES][SPOTS]);

#endif
