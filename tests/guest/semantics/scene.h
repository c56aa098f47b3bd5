/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What cases are made of: files with known contents, mappings of them in
 * workers, and expectations about both.
 */
#ifndef SCENE_H
#define SCENE_H

#include "harness.h"
#include "../lib/observe.h"
#include "worker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>

/* 1 GiB-aligned, with nothing else under the same PUD page. */
#define HOME	  0x200000000000ULL
#define ELSEWHERE 0x300000000000ULL

#define MAX_FILLED 32

struct file {
	int fd; /* O_RDWR */
	int read_only_fd;
	uint64_t id;
	uint64_t bytes;
	int filled_count;
	uint64_t filled[MAX_FILLED]; /* numbers of units with written extents and stamps */
	char path[256];
};

/* Why the directory cannot serve, or NULL. */
const char *scene_problem(void);
void files_remove(void); /* all files of all cases */
void file_system_thaw(void);

/*
 * A file of some GiB, preallocated, whose units 0, 1 and 511 of every GiB hold
 * a stamp in their pages 0, 1 and 511.  Under a mixed shape odd units have
 * written extents in those pages only, which leaves no room for 2 MiB entries.
 */
struct file *file_standard(int gib);
struct file *file_preallocated(uint64_t bytes); /* unwritten extents: reads as zeros */
struct file *file_sparse(uint64_t bytes);	/* no extents at all */
void file_fill(struct file *f, uint64_t unit);
uint64_t stamp(const struct file *f, uint64_t offset);	  /* of the page that holds @offset */
uint64_t file_read_word(struct file *f, uint64_t offset); /* by pread(2) */
void file_write_word(struct file *f, uint64_t offset, uint64_t value); /* by pwrite(2) */

/* mmap(2) in a worker at HOME + offset, read-write, as the shape says. */
uint64_t map(struct worker *w, struct file *f, uint64_t offset, uint64_t length);
/* ... with protection and flags of one's own; the shape gives only the advice. */
uint64_t map_at(struct worker *w, int fd, uint64_t address, uint64_t length, uint64_t offset,
		int protection, int flags);
int shape_flag(void); /* MAP_SHARED or MAP_PRIVATE */

#define expect_value(w, address, value) expect_value_(__FILE__, __LINE__, w, address, value)
#define expect_store(w, address, value) expect_store_(__FILE__, __LINE__, w, address, value)
/* A load (or a store) ends with this signal at this very address. */
#define expect_load_signal(w, address, number) \
	expect_signal_(__FILE__, __LINE__, w, address, number, false)
#define expect_store_signal(w, address, number) \
	expect_signal_(__FILE__, __LINE__, w, address, number, true)
/* The stamps of [offset, offset + length) are all seen at @address. */
#define expect_contents(w, f, address, offset, length) \
	expect_contents_(__FILE__, __LINE__, w, f, address, offset, length)
/* ... without a fault: what others do costs this process nothing. */
#define expect_contents_at_hand(w, f, address, offset, length) \
	expect_contents_at_hand_(__FILE__, __LINE__, w, f, address, offset, length)
#define expect_zeros(w, address, length) expect_zeros_(__FILE__, __LINE__, w, address, length)
#define expect_call(w, expected, number, ...)                          \
	expect_call_(__FILE__, __LINE__, w, expected, #number, number, \
		     (const uint64_t[6]){ __VA_ARGS__ })
#define expect_file_word(f, offset, value) expect_file_word_(__FILE__, __LINE__, f, offset, value)

bool expect_value_(const char *file, int line, struct worker *w, uint64_t address, uint64_t value);
bool expect_store_(const char *file, int line, struct worker *w, uint64_t address, uint64_t value);
bool expect_signal_(const char *file, int line, struct worker *w, uint64_t address, int signal,
		    bool store);
void expect_contents_(const char *file, int line, struct worker *w, struct file *f,
		      uint64_t address, uint64_t offset, uint64_t length);
void expect_contents_at_hand_(const char *file, int line, struct worker *w, struct file *f,
			      uint64_t address, uint64_t offset, uint64_t length);
void expect_zeros_(const char *file, int line, struct worker *w, uint64_t address, uint64_t length);
long expect_call_(const char *file, int line, struct worker *w, long expected, const char *name,
		  long number, const uint64_t arguments[6]);
void expect_file_word_(const char *file, int line, struct file *f, uint64_t offset, uint64_t value);

/*
 * Sharing really happens: since the last mark, so many tables were created and
 * so many PUD entries pointed at one (a creator attaches to its own).  Nothing
 * is expected of a kernel that does not share; none may happen when the case says
 * not to.
 */
void tables_mark(void);
#define expect_tables(created, attached) expect_tables_(__FILE__, __LINE__, created, attached)
#define expect_detached(count)		 expect_detached_(__FILE__, __LINE__, count)
#define expect_freed(count)		 expect_freed_(__FILE__, __LINE__, count)
void expect_tables_(const char *file, int line, long created, long attached);
void expect_detached_(const char *file, int line, long count);
void expect_freed_(const char *file, int line, long count);

#endif
