/* SPDX-License-Identifier: GPL-2.0 */
/*
 * PID 1 of a measuring guest: mount what programs expect, start the guest agent, reap orphans.
 *
 * A program rather than a script because every fork and exec of a shell costs about 10 ms under
 * TCG, and because the exit of this program is itself the alarm: when PID 1 ends the kernel
 * panics, which the host sees on the console. So whatever goes wrong here, and the end of the
 * agent for any reason, ends in a line on the console and a panic; never in a silent guest.
 *
 * Words on the kernel command line:
 *   driver.ssh             also run /usr/bin/start-ssh (network and SSH server)
 *   driver.system=DEVICE   run everything in the Debian system on that device
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct mount_point {
	const char *type;
	const char *where;
	const char *options;
	bool vital;
} mount_points[] = {
	{ "proc", "/proc", "", true },
	{ "sysfs", "/sys", "", true },
	{ "devtmpfs", "/dev", "mode=0755", true },
	{ "devpts", "/dev/pts", "mode=0620,ptmxmode=0666", false },
	{ "tmpfs", "/dev/shm", "mode=1777", false },
	{ "tmpfs", "/tmp", "mode=1777", false },
	{ "tmpfs", "/run", "mode=0755", false },
	{ "debugfs", "/sys/kernel/debug", "", false },
	{ "tracefs", "/sys/kernel/tracing", "", false },
	{ "cgroup2", "/sys/fs/cgroup", "", false },
};

/* One descriptor per process and channel: room for experiments with 10,000 processes. */
#define OPEN_FILES 65536

/*
 * One write is one record of the kernel log; "<N>" at its start is the level. Not dprintf(): up to
 * glibc 2.36 it seeks first, which /dev/kmsg refuses, and then says nothing.
 */
__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
	char line[256];
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	if (write(STDERR_FILENO, line,
		  length < (int)sizeof(line) ? length : (int)sizeof(line) - 1) < 0)
		return; /* nowhere left to say it */
}

static _Noreturn void give_up(const char *what)
{
	/* The panic that follows our exit names the status, 1, and nothing else. */
	say("<2>init: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void mount_all(void)
{
	for (size_t i = 0; i < sizeof(mount_points) / sizeof(mount_points[0]); i++) {
		const struct mount_point *point = &mount_points[i];

		/* Inside sysfs the directory exists exactly if the kernel has the feature. */
		mkdir(point->where, 0755);
		if (!mount(point->type, point->where, point->type, 0, point->options))
			continue;
		if (point->vital)
			give_up(point->where);
	}
}

/* Messages go to the kernel log: the console carries nothing else, and stays one clean stream. */
static void redirect_output(void)
{
	int input = open("/dev/null", O_RDONLY);
	int log = open("/dev/kmsg", O_WRONLY);

	if (input < 0 || log < 0)
		give_up("/dev/null or /dev/kmsg");
	dup2(input, STDIN_FILENO);
	dup2(log, STDOUT_FILENO);
	dup2(log, STDERR_FILENO);
	for (int fd = STDERR_FILENO + 1; fd <= input || fd <= log; fd++)
		close(fd);
}

/* What follows `wanted` on the kernel command line, up to a blank; NULL if it is not there. */
static const char *on_command_line(const char *wanted)
{
	static char line[4096];
	int fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
	ssize_t length = fd < 0 ? -1 : read(fd, line, sizeof(line) - 1);
	const size_t prefix = strlen(wanted);
	char *rest = line;

	if (length < 0)
		give_up("/proc/cmdline");
	close(fd);
	line[length] = '\0';
	for (char *word; (word = strsep(&rest, " \n")) != NULL;) {
		if (!strncmp(word, wanted, prefix) && (!word[prefix] || wanted[prefix - 1] == '='))
			return word + prefix;
	}
	return NULL;
}

static void mount_at(const char *source, const char *where, const char *type, unsigned long flags,
		     const char *options)
{
	if (mkdir(where, 0755) && errno != EEXIST)
		give_up(where);
	if (mount(source, where, type, flags, options))
		give_up(where);
}

/*
 * Make the root directory that of a Debian system on a device that is only read. What is written
 * stays in memory. Programs and files of the initramfs show wherever the system has none of that
 * name: the agent, the workloads, and folders that the driver adds.
 *
 * The root directory of the kernel cannot be unmounted, nor exchanged by pivot_root(2): the new one
 * is moved over it, as switch_root(8) does.
 */
static void enter_system(const char *device)
{
	static const char disk[] = "/.system", layer[] = "/.layer", root[] = "/.root";

	mount_at(device, disk, "erofs", MS_RDONLY, "");
	mount_at("layer", layer, "tmpfs", 0, "mode=0755");
	if (mkdir("/.layer/upper", 0755) || mkdir("/.layer/work", 0755))
		give_up(layer);
	mount_at("system", root, "overlay", 0,
		 "lowerdir=/.system:/,upperdir=/.layer/upper,workdir=/.layer/work");
	for (size_t i = 0; i < sizeof(mount_points) / sizeof(mount_points[0]); i++) {
		const char *where = mount_points[i].where;
		char place[64];

		/* Those below others move with them. */
		if (strrchr(where, '/') != where)
			continue;
		snprintf(place, sizeof(place), "%s%s", root, where);
		if (mount(where, place, NULL, MS_MOVE, NULL))
			give_up(place);
	}
	if (chdir(root) || mount(".", "/", NULL, MS_MOVE, NULL) || chroot("."))
		give_up(root);
}

static pid_t start(char *const argv[])
{
	pid_t pid = fork();

	if (pid < 0)
		give_up("fork");
	if (pid)
		return pid;
	setsid();
	execv(argv[0], argv);
	give_up(argv[0]);
}

static const char *describe(int status, char *text, size_t size)
{
	if (WIFSIGNALED(status))
		snprintf(text, size, "was killed by signal %d", WTERMSIG(status));
	else
		snprintf(text, size, "exited with status %d", WEXITSTATUS(status));
	return text;
}

int main(void)
{
	char *const environment[] = { "PATH=/usr/bin:/usr/sbin:/bin:/sbin", "HOME=/root",
				      "TERM=linux", NULL };
	char *const agent[] = { "/usr/bin/agent", NULL };
	char *const ssh[] = { "/usr/bin/start-ssh", NULL };
	const struct rlimit files = { OPEN_FILES, OPEN_FILES };
	pid_t agent_pid, ssh_pid = 0;
	const char *system;

	mount_all();
	redirect_output();
	system = on_command_line("driver.system=");
	if (system)
		enter_system(system);
	environ = (char **)environment;
	sethostname("guest", strlen("guest"));
	if (setrlimit(RLIMIT_NOFILE, &files))
		give_up("RLIMIT_NOFILE");

	agent_pid = start(agent);
	if (on_command_line("driver.ssh"))
		ssh_pid = start(ssh);

	for (;;) {
		char how[64];
		int status;
		pid_t pid = wait(&status);

		if (pid < 0)
			give_up("wait");
		if (pid == ssh_pid)
			say("<3>init: the SSH server %s\n", describe(status, how, sizeof(how)));
		if (pid == agent_pid) {
			say("<2>init: the guest agent %s\n", describe(status, how, sizeof(how)));
			return 1;
		}
	}
}
