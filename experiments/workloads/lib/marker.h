/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Marker instructions: they tell an instrument that watches the guest from outside where phases and
 * measured windows begin and end (docs/how-to/see-where-instructions-go.md).
 *
 * A marker is a no-op of seven bytes, NOPL 0x746b6dKK(%rax), whose displacement nobody uses: it
 * costs one instruction, watched or not. trial.h and cost.h place them.
 */
#ifndef MARKER_H
#define MARKER_H

/* A phase is reached and will be sampled; it has been; what is measured begins, and ends. */
#define MARKER_ANNOUNCE "0"
#define MARKER_CONTINUE "1"
#define MARKER_BEGIN	"2"
#define MARKER_END	"3"

/* The instruction, for an asm statement. */
#define MARKER(kind) ".byte 0x0f, 0x1f, 0x80, " kind ", 0x6d, 0x6b, 0x74"

#endif
