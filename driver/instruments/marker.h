/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Marker instructions: what a workload says to an instrument that watches it from outside.
 *
 * A marker is a no-op of seven bytes, NOPL 0x746b6dKK(%rax), whose displacement nobody uses: it
 * costs one instruction and does nothing. KK is the kind. Workloads have their own header for it.
 */
#ifndef MARKER_H
#define MARKER_H

#include <stdbool.h>
#include <stdint.h>

enum marker {
	MARKER_ANNOUNCE, /* a phase is reached, and will be sampled */
	MARKER_CONTINUE, /* it has been */
	MARKER_BEGIN,	 /* what is measured begins */
	MARKER_END,	 /* and ends */
};

#define MARKER_SIZE 7
/* Where in the instruction the kind is. */
#define MARKER_KIND 3

static inline bool is_marker(const uint8_t *code)
{
	return code[0] == 0x0f && code[1] == 0x1f && code[2] == 0x80 && code[3] <= MARKER_END &&
	       code[4] == 0x6d && code[5] == 0x6b && code[6] == 0x74;
}

#endif
