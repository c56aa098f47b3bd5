/* SPDX-License-Identifier: GPL-2.0 */
#include "lockevents.h"

#include <fcntl.h>

#include "trial.h"

#define LOCK_EVENTS "/sys/kernel/debug/lock_event_counts/"

/* One counter, from kernel/locking/lock_events_list.h. */
static long lock_event(const char *name)
{
	char path[128], text[32];
	ssize_t length;
	int fd;

	snprintf(path, sizeof(path), LOCK_EVENTS "%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		trial_fail("%s: %s: the kernel must be of the variant \"locks\"", path,
			   strerror(errno));
	length = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (length <= 0)
		trial_fail("%s cannot be read", path);
	text[length] = '\0';
	return atol(text);
}

struct lock_events lock_events(void)
{
	return (struct lock_events){
		.contended_writes = lock_event("rwsem_wlock") + lock_event("rwsem_opt_lock"),
		.contended_reads = lock_event("rwsem_rlock"),
		.sleeps = lock_event("rwsem_sleep_reader") + lock_event("rwsem_sleep_writer"),
		.contended_spins = lock_event("lock_pending") + lock_event("lock_slowpath"),
	};
}
