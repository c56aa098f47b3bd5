/* SPDX-License-Identifier: GPL-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent.h"

/* Texts of the present phase. 1 MiB holds all counters of a machine many times over. */
static char *pool;
static size_t pool_size = 1 << 20;
static size_t pool_used;

/*
 * Get the memory now: a page fault between two phases could add a page-table page of ours to the
 * very counter that is being measured.
 */
void prepare_sampling(void)
{
	pool = mmap(NULL, pool_size, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (pool == MAP_FAILED)
		give_up("no memory for samples");
}

/* Make room for more text; only a source beyond all expectation ever gets here. */
static int grow_pool(void)
{
	void *larger = mremap(pool, pool_size, 2 * pool_size, MREMAP_MAYMOVE);

	if (larger == MAP_FAILED)
		return -errno;
	pool = larger;
	pool_size *= 2;
	return 0;
}

/* Append a file's text to the pool; returns its length, or a negative error number. */
static ssize_t read_file(const char *path)
{
	size_t start = pool_used;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t result;

	if (fd < 0)
		return -errno;
	for (;;) {
		ssize_t count;

		if (pool_used == pool_size) {
			result = grow_pool();
			if (result)
				break;
		}
		count = read(fd, pool + pool_used, pool_size - pool_used);
		if (count < 0 && errno == EINTR)
			continue;
		result = count < 0 ? -errno : (ssize_t)(pool_used - start);
		if (count <= 0)
			break;
		pool_used += count;
	}
	close(fd);
	if (result < 0)
		pool_used = start;
	return result;
}

static ssize_t read_source(const char *source)
{
	ssize_t length;

	if (strcmp(source, "kpageflags"))
		return read_file(source);
	length = read_kpageflags(pool + pool_used, pool_size - pool_used);
	if (length > 0)
		pool_used += length;
	return length;
}

bool make_writes(struct job *job, const struct file_write *writes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const char *content = writes[i].text;
		int fd = open(writes[i].path, O_WRONLY | O_CLOEXEC);
		ssize_t done = fd < 0 ? -1 : write(fd, content, strlen(content));
		int error = done < 0 ? errno : EIO;

		if (fd >= 0)
			close(fd);
		/* A sysctl takes its text in one write or not at all. */
		if (done != (ssize_t)strlen(content)) {
			refuse(job, "cannot write \"%s\" to %s: %s", content, writes[i].path,
			       strerror(error));
			return false;
		}
	}
	return true;
}

static void send_sample(int channel, const char *phase, const char *source, const char *more,
			uint64_t time_ns, const char *text, size_t length)
{
	char name[256], from[768], keys[1280];

	snprintf(keys, sizeof(keys), "phase=%s source=%s%s time_ns=%llu",
		 escape(phase, name, sizeof(name)), escape(source, from, sizeof(from)), more,
		 (unsigned long long)time_ns);
	send_frame(channel, "sample", keys, text, length);
}

/*
 * Announce a phase and copy the system-wide sources to the host, when the counters stand still. All are read before anything is
 * sent, so that they show one moment, and not the sending of each other.
 */
bool sample_system(int channel, struct job *job, const char *phase, uint64_t time_ns)
{
	char name[256], keys[512];
	size_t ends[MAX_SOURCES];
	const bool settled = settle(job->settle_ms);

	if (!make_writes(job, job->refresh, job->refreshes))
		return false;
	pool_used = 0;
	for (size_t i = 0; i < job->source_count; i++) {
		ssize_t length = read_source(job->sources[i]);

		if (length < 0) {
			refuse(job, "cannot read the source %s: %s", job->sources[i],
			       strerror(-(int)length));
			return false;
		}
		ends[i] = pool_used;
	}
	snprintf(keys, sizeof(keys), "name=%s time_ns=%llu", escape(phase, name, sizeof(name)),
		 (unsigned long long)time_ns);
	send_frame(channel, "phase", keys, NULL, 0);
	for (size_t i = 0, start = 0; i < job->source_count; start = ends[i++])
		send_sample(channel, phase, job->sources[i], settled ? "" : " unsettled=1", time_ns,
			    pool + start, ends[i] - start);
	return true;
}

/* Copy the per-process sources of one process to the host. */
bool sample_worker(int channel, struct job *job, const char *phase, uint64_t time_ns,
		   unsigned long index, pid_t pid)
{
	for (size_t i = 0; i < job->worker_source_count; i++) {
		char path[512], process[64];
		ssize_t length;

		snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, job->worker_sources[i]);
		snprintf(process, sizeof(process), " process=%lu", index);
		pool_used = 0;
		length = read_file(path);
		if (length < 0) {
			refuse(job, "cannot read the source %s: %s", path, strerror(-(int)length));
			return false;
		}
		send_sample(channel, phase, job->worker_sources[i], process, time_ns, pool, length);
	}
	return true;
}
