/* SPDX-License-Identifier: GPL-2.0 */
/* What an actor may do next. */
#ifndef OPERATION_H
#define OPERATION_H

#include "mapping.h"

#include <stddef.h>

/* Maps something, so that there is something to do. */
void operate_first(struct actor *a);
/* Draw from the operations so named, and no others; false if there is none.  May be repeated. */
bool operate_only(const char *name);
/* One random operation, described in @trace before it is done. */
void operate(struct actor *a, char *trace, size_t size);
void exit_group(void) __attribute__((noreturn));

#endif
