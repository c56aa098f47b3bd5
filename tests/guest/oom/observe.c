/* SPDX-License-Identifier: GPL-2.0 */
/* A program is made of the C files of its folder; this one it has in common with its neighbour. */
#include "../semantics/observe.c"
