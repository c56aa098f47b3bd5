/* SPDX-License-Identifier: GPL-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"

#define PORT_NAME "driver.agent"

static void announce(int channel)
{
	char release[256], keys[512];
	struct utsname system;

	uname(&system);
	snprintf(keys, sizeof(keys), "protocol=" PROTOCOL " release=%s",
		 escape(system.release, release, sizeof(release)));
	send_frame(channel, "ready", keys, NULL, 0);
}

static int open_channel(const char *where)
{
	char *end;
	long number = strtol(where, &end, 10);
	int fd;

	if (*where && !*end)
		return (int)number;
	fd = open(where, O_RDWR | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		give_up("%s: %s", where, strerror(errno));
	return fd;
}

int main(int argc, char **argv)
{
	static struct job job;
	struct timespec now;
	bool is_port = true, last;
	int channel, trigger = -1;

	if (argc == 3 && !strcmp(argv[1], "--channel")) {
		is_port = false;
		channel = open_channel(argv[2]);
	} else if (argc == 1) {
		channel = open_port(PORT_NAME);
		trigger = open_trigger();
	} else {
		give_up("usage: agent [--channel DESCRIPTOR | --channel PATH]");
	}

	/* A host that went away shows as an error of write(), not as our death. */
	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	prepare_sampling();
	/* With other programs running, as in a test, nobody knows. */
	if (is_port)
		try_deferral();
	clock_gettime(CLOCK_MONOTONIC, &now); /* maps the vDSO's data page, once */

	announce(channel);
	/* A template in the making: it will be stopped while it waits for the next one. */
	if (read_first_job(trigger, &job)) {
		run_job(channel, &job);
		freeze_machine();
	}
	for (;; announce(channel)) {
		while (read_next_job(channel, trigger, &job, &last) == JOB_READ) {
			run_job(channel, &job);
			if (last)
				halt_machine();
		}
		if (!is_port)
			return 0;
		/*
		 * The host closed its end of the port. Announcing ourselves again sleeps in the
		 * kernel until somebody is there to hear it; a half-read job is forgotten.
		 */
	}
}
