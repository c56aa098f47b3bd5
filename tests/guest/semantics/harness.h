/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Cases, their verdicts and the shapes of mapping they are run with.
 *
 * Every case runs in a process of its own, so that what it leaves behind can
 * be measured from outside: page tables must be back to where they were.
 */
#ifndef HARNESS_H
#define HARNESS_H

#include <stdbool.h>
#include <stdint.h>

#define PAGE 4096ULL
#define UNIT (2ULL << 20) /* what one PMD entry maps */
#define GIB  (1ULL << 30) /* what one PUD entry maps, and one table serves */

/* Bits of semantic_case.shapes. */
#define SHARED_2M    1 /* MAP_SHARED, 2 MiB entries */
#define SHARED_4K    2 /* MAP_SHARED, MADV_NOHUGEPAGE */
#define SHARED_MIXED 4 /* MAP_SHARED, extents that allow 2 MiB in every second unit */
#define PRIVATE_2M   8
#define PRIVATE_4K   16
#define SHARED_ALL   (SHARED_2M | SHARED_4K | SHARED_MIXED)
#define PRIVATE_ALL  (PRIVATE_2M | PRIVATE_4K)
#define EVERY_SHAPE  (SHARED_ALL | PRIVATE_ALL)

struct shape {
	unsigned int bit;
	const char *name;
	bool private; /* MAP_PRIVATE */
	bool small;   /* MADV_NOHUGEPAGE */
	bool mixed;
};
extern struct shape shape; /* of the case being run */

struct semantic_case {
	const char *name; /* theme/what-is-done */
	unsigned int shapes;
	void (*run)(void);
	const char *expectation; /* one line, for --list */
};

struct options {
	const char *directory;	/* on the DAX mount */
	const char *raw_device; /* a block device whose O_DIRECT reads use GUP, or NULL */
	int processors;
};
extern struct options options;

/* A failed expectation is reported and the case goes on; a failed requirement ends it. */
#define expect(condition, ...) report_unless(condition, __FILE__, __LINE__, __VA_ARGS__)
#define require(condition, ...)                                          \
	do {                                                             \
		if (!(condition))                                        \
			report_and_end(__FILE__, __LINE__, __VA_ARGS__); \
	} while (0)
#define fail_now(...) report_and_end(__FILE__, __LINE__, __VA_ARGS__)

bool report_unless(bool condition, const char *file, int line, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
void report_and_end(const char *file, int line, const char *format, ...)
	__attribute__((format(printf, 3, 4), noreturn));
/* Ends the case as not applicable here. */
void skip_case(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

#endif
