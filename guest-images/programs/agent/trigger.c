/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The start trigger: how a guest whose instructions are counted is given its job.
 *
 * Bytes that come through virtio while the guest runs arrive at an instruction that depends on how
 * the host schedules QEMU, and none come while it is stopped. So the host puts the job into QEMU's
 * fw_cfg, where our own read fetches it, and one byte into the FIFO of the second serial port while
 * the guest is stopped. The guest then goes on from an identical state to an identical interrupt.
 * Only such a machine has the fw_cfg entry; on others nothing here opens or waits for anything.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <termios.h>
#include <unistd.h>

#include "agent.h"

#define JOB_FILE "/sys/firmware/qemu_fw_cfg/by_name/opt/driver/job/raw"
#define TRIGGER	 "/dev/ttyS1"

/* Open the trigger; returns its descriptor, or -1 on a machine without one. */
int open_trigger(void)
{
	struct termios raw;
	int trigger;

	if (access(JOB_FILE, R_OK))
		return -1;
	trigger = open(TRIGGER, O_RDWR | O_CLOEXEC | O_NOCTTY);
	if (trigger < 0 || tcgetattr(trigger, &raw))
		give_up(TRIGGER ": %s", strerror(errno));
	cfmakeraw(&raw);
	raw.c_cflag |= CLOCAL;
	if (tcsetattr(trigger, TCSANOW, &raw))
		give_up(TRIGGER ": %s", strerror(errno));
	return trigger;
}

/* Read the job in the job file, which padding follows. */
static int read_job_file(struct job *job)
{
	int file = open(JOB_FILE, O_RDONLY | O_CLOEXEC), outcome;

	if (file < 0)
		give_up(JOB_FILE ": %s", strerror(errno));
	outcome = read_job(file, job);
	forget_input();
	close(file);
	return outcome;
}

/*
 * The job that prepares a template is there when the machine starts, so that it begins at the same
 * instruction whenever and wherever that is. Without one the file holds zeros.
 */
bool read_first_job(int trigger, struct job *job)
{
	char first = 0;
	int file;

	if (trigger < 0)
		return false;
	file = open(JOB_FILE, O_RDONLY | O_CLOEXEC);
	if (file < 0 || read(file, &first, 1) != 1)
		give_up(JOB_FILE ": %s", strerror(errno));
	close(file);
	return first && read_job_file(job) == JOB_READ;
}

/*
 * Sleep until there is a job and read it. Until the trigger fires, jobs come through the channel as
 * on any machine. The trigger starts the last job, and sets `last`.
 */
int read_next_job(int channel, int trigger, struct job *job, bool *last)
{
	struct pollfd ready[] = {
		{ .fd = channel, .events = POLLIN },
		{ .fd = trigger, .events = POLLIN },
	};
	char byte;

	*last = false;
	if (trigger < 0)
		return read_job(channel, job);
	while (poll(ready, 2, -1) < 0) {
		if (errno != EINTR)
			give_up("waiting for a job: %s", strerror(errno));
	}
	if (!(ready[1].revents & POLLIN))
		return read_job(channel, job);
	if (read(trigger, &byte, 1) != 1)
		give_up(TRIGGER ": %s", strerror(errno));
	*last = true;
	return read_job_file(job);
}

/*
 * Stop the machine at once. Otherwise it would write back and tidy up until the host has noticed
 * the job's end, which takes a different time in each run.
 */
_Noreturn void halt_machine(void)
{
	reboot(RB_HALT_SYSTEM);
	give_up("halting");
}
