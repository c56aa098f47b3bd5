/* SPDX-License-Identifier: GPL-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"

/* The descriptor a job finds its end of the message socket under; TRIAL_FD tells it. */
#define JOB_SOCKET 3

/* A phase that names 10,000 processes takes 80 kB. */
#define MAX_MESSAGE (128 << 10)

struct child {
	pid_t pid;
	int pidfd;
	int output;
	int messages;
	char phase[128];
};

static char buffer[MAX_MESSAGE];

static bool start_child(struct job *job, struct child *child)
{
	char path[] = "PATH=/usr/bin:/usr/sbin:/bin:/sbin", home[] = "HOME=/root";
	char terminal[] = "TERM=dumb", trial[] = "TRIAL_FD=3";
	char *environment[] = { path, home, terminal, trial, NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	int output[2], messages[2], error;
	sigset_t none, all;

	if (pipe2(output, O_CLOEXEC) ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, messages)) {
		refuse(job, "cannot connect the job: %s", strerror(errno));
		return false;
	}
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK |
						      POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &all);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, output[1], STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&actions, output[1], STDERR_FILENO);
	/* Last: it may replace a descriptor that the lines above needed. */
	posix_spawn_file_actions_adddup2(&actions, messages[1], JOB_SOCKET);
	error = posix_spawnp(&child->pid, job->argv[0], &actions, &attributes, job->argv,
			     environment);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	close(output[1]);
	close(messages[1]);
	if (error) {
		close(output[0]);
		close(messages[0]);
		refuse(job, "cannot start %s: %s", job->argv[0], strerror(error));
		return false;
	}
	child->output = output[0];
	child->messages = messages[0];
	child->phase[0] = '\0';
	/* Nobody else reaps our children, so the number cannot have been reused. */
	child->pidfd = pidfd_open(child->pid, 0);
	if (child->pidfd < 0 || fcntl(child->output, F_SETFL, O_NONBLOCK))
		refuse(job, "cannot watch the job: %s", strerror(errno));
	return !job->reason[0];
}

/*
 * Forward what the job has printed so far; true when all its writers have closed. The turns are
 * enough for what a pipe can hold, and limited so that a job's output cannot hold up its messages.
 */
static bool forward_output(int channel, struct child *child)
{
	for (int turns = 0; turns < 64; turns++) {
		ssize_t count = read(child->output, buffer, sizeof(buffer));

		if (count > 0)
			send_frame(channel, "output", "", buffer, count);
		else if (count == 0)
			return true;
		else if (errno != EINTR)
			return false;
	}
	return false;
}

static bool is_over(const struct child *child)
{
	struct pollfd over = { .fd = child->pidfd, .events = POLLIN };

	return poll(&over, 1, 0) > 0;
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void take_phase(int channel, struct job *job, struct child *child, char *rest)
{
	const char *name = strsep(&rest, " ");
	const uint64_t time_ns = now_ns();
	unsigned long index = 0;

	if (!*name || strlen(name) >= sizeof(child->phase)) {
		refuse(job, "the job announced a phase whose name is empty or too long");
		return;
	}
	strcpy(child->phase, name);
	if (!sample_system(channel, job, name, time_ns))
		return;
	for (char *word; (word = strsep(&rest, " ")) != NULL; index++) {
		char *end;
		long pid = strtol(word, &end, 10);

		if (end == word || *end || pid <= 0) {
			refuse(job, "phase %s names `%s` as a process", child->phase, word);
			return;
		}
		if (job->worker_limit && index == job->worker_limit)
			break;
		if (!sample_worker(channel, job, child->phase, time_ns, index, (pid_t)pid)) {
			/* Killed in mid-phase: its exit is the story, not our failed read. */
			if (is_over(child))
				job->reason[0] = '\0';
			return;
		}
	}
	/* Fails only if the job has died, which is noticed elsewhere. */
	send(child->messages, "go", 2, MSG_NOSIGNAL);
}

static void take_value(int channel, struct job *job, struct child *child, char *rest)
{
	const char *name = strsep(&rest, " ");
	const char *unit = rest ? strsep(&rest, " ") : NULL;
	const char *number = rest ? strsep(&rest, " ") : NULL;
	char phase[256], escaped[256], escaped_unit[128], keys[1024], *end;

	if (!number || rest || !*name || !*unit || (strtod(number, &end), end == number || *end)) {
		refuse(job, "the job sent a malformed value");
		return;
	}
	snprintf(keys, sizeof(keys), "phase=%s name=%s unit=%s value=%.64s",
		 escape(child->phase, phase, sizeof(phase)), escape(name, escaped, sizeof(escaped)),
		 escape(unit, escaped_unit, sizeof(escaped_unit)), number);
	send_frame(channel, "value", keys, NULL, 0);
}

/* Handle one message of the job, if there is one; false when there is none. */
static bool take_message(int channel, struct job *job, struct child *child)
{
	static char message[MAX_MESSAGE];
	char shown[64], *rest = message, *keyword;
	ssize_t length = recv(child->messages, message, sizeof(message) - 1,
			      MSG_DONTWAIT | MSG_TRUNC);

	if (length <= 0)
		return false;
	/* What was printed before the message was sent comes before it. */
	forward_output(channel, child);
	if ((size_t)length > sizeof(message) - 1) {
		refuse(job, "the job sent a message of %zd bytes; %d fit", length, MAX_MESSAGE);
		return true;
	}
	message[length] = '\0';
	keyword = strsep(&rest, " ");
	if (rest && !strcmp(keyword, "phase"))
		take_phase(channel, job, child, rest);
	else if (rest && !strcmp(keyword, "value"))
		take_value(channel, job, child, rest);
	else
		refuse(job, "the job sent an unknown message `%s`",
		       escape(keyword, shown, sizeof(shown)));
	return true;
}

static void watch_child(int channel, struct job *job, struct child *child)
{
	struct pollfd watched[] = {
		{ .fd = child->pidfd, .events = POLLIN },
		{ .fd = child->output, .events = POLLIN },
		{ .fd = child->messages, .events = POLLIN },
	};

	while (!job->reason[0]) {
		if (poll(watched, 3, -1) < 0)
			continue;
		if (watched[1].revents && forward_output(channel, child))
			watched[1].fd = -1;
		if (watched[2].revents && !take_message(channel, job, child))
			watched[2].fd = -1;
		if (watched[0].revents) {
			while (!job->reason[0] && take_message(channel, job, child))
				;
			break;
		}
	}
}

/*
 * End what the job left in its process group, and return the exit status of the job itself. A
 * program that put itself into a session of its own was meant to outlive the job, and does.
 */
static siginfo_t end_child(struct child *child, bool kill_it)
{
	siginfo_t end = { 0 };

	if (kill_it)
		kill(-child->pid, SIGKILL);
	/* Not reaped yet: while the leader is a zombie its number names this group and no other. */
	while (waitid(P_PID, child->pid, &end, WEXITED | WNOWAIT) && errno == EINTR)
		;
	kill(-child->pid, SIGKILL);
	/* Orphans of the group become our children: wait until none is left. */
	while (waitpid(-child->pid, NULL, 0) > 0 || errno == EINTR)
		;
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	return end;
}

/* Do a job and answer it with exactly one `exit` or `error`, as the last frame. */
void run_job(int channel, struct job *job)
{
	struct child child = { 0 };
	char keys[64];
	siginfo_t end;

	if (job->reason[0] || !make_writes(job, job->setup, job->setups)) {
		send_frame(channel, "error", "", job->reason, strlen(job->reason));
		return;
	}
	start_child(job, &child);
	if (!child.pid) {
		send_frame(channel, "error", "", job->reason, strlen(job->reason));
		return;
	}
	watch_child(channel, job, &child);
	end = end_child(&child, job->reason[0]);
	/* Every writer that counts is dead: what is in the pipe now is all there will be. */
	forward_output(channel, &child);
	close(child.output);
	close(child.messages);
	close(child.pidfd);

	if (job->reason[0]) {
		send_frame(channel, "error", "", job->reason, strlen(job->reason));
		return;
	}
	snprintf(keys, sizeof(keys), "%s=%d", end.si_code == CLD_EXITED ? "status" : "signal",
		 end.si_status);
	send_frame(channel, "exit", keys, NULL, 0);
}
