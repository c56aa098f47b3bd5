/* SPDX-License-Identifier: GPL-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"

/*
 * End the agent with the reason on stderr, which is the kernel log in a guest; init then panics.
 * In one write, which is one record there, and not by dprintf(): up to glibc 2.36 it seeks first,
 * which /dev/kmsg refuses, and then says nothing.
 */
void give_up(const char *format, ...)
{
	static const char prefix[] = "agent: ";
	char line[MAX_REASON];
	size_t used = sizeof(prefix) - 1;
	va_list arguments;

	memcpy(line, prefix, used);
	va_start(arguments, format);
	vsnprintf(line + used, sizeof(line) - used - 1, format, arguments);
	va_end(arguments);
	used = strlen(line);
	line[used++] = '\n';
	if (write(STDERR_FILENO, line, used) < 0)
		_exit(2); /* nowhere left to say it */
	exit(1);
}
