/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The bell: how a guest whose instructions are counted is given its job.
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
#define BELL	 "/dev/ttyS1"

/* The bell's descriptor, or -1 on a machine without one. */
int open_bell(void)
{
	struct termios raw;
	int bell;

	if (access(JOB_FILE, R_OK))
		return -1;
	bell = open(BELL, O_RDWR | O_CLOEXEC | O_NOCTTY);
	if (bell < 0 || tcgetattr(bell, &raw))
		give_up(BELL ": %s", strerror(errno));
	cfmakeraw(&raw);
	raw.c_cflag |= CLOCAL;
	if (tcsetattr(bell, TCSANOW, &raw))
		give_up(BELL ": %s", strerror(errno));
	return bell;
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
bool read_first_job(int bell, struct job *job)
{
	char first = 0;
	int file;

	if (bell < 0)
		return false;
	file = open(JOB_FILE, O_RDONLY | O_CLOEXEC);
	if (file < 0 || read(file, &first, 1) != 1)
		give_up(JOB_FILE ": %s", strerror(errno));
	close(file);
	return first && read_job_file(job) == JOB_READ;
}

/*
 * Sleep until there is a job and read it. While the bell has not rung, jobs come through the channel
 * as on any machine; the job of the bell is the last one, which `last` tells.
 */
int read_next_job(int channel, int bell, struct job *job, bool *last)
{
	struct pollfd ready[] = {
		{ .fd = channel, .events = POLLIN },
		{ .fd = bell, .events = POLLIN },
	};
	char ring;

	*last = false;
	if (bell < 0)
		return read_job(channel, job);
	while (poll(ready, 2, -1) < 0) {
		if (errno != EINTR)
			give_up("waiting for a job: %s", strerror(errno));
	}
	if (!(ready[1].revents & POLLIN))
		return read_job(channel, job);
	if (read(bell, &ring, 1) != 1)
		give_up(BELL ": %s", strerror(errno));
	*last = true;
	return read_job_file(job);
}

/*
 * Stop the machine where it stands. What a guest does after its job (write back, tidy up) it does
 * for as long as the host takes to notice the job's end, which differs from run to run.
 */
_Noreturn void halt_machine(void)
{
	reboot(RB_HALT_SYSTEM);
	give_up("halting");
}
