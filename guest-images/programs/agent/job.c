/* SPDX-License-Identifier: GPL-2.0 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"

/* What was read from the channel and not yet looked at. */
static char input[4096];
static size_t input_start, input_end;

/* The lines of the present job; the job's strings point into it. */
static char text[MAX_JOB_TEXT];
static size_t text_used;

/* Record why the job cannot be done. The first reason wins: later ones tend to follow from it. */
void refuse(struct job *job, const char *format, ...)
{
	va_list arguments;

	if (job->reason[0])
		return;
	va_start(arguments, format);
	vsnprintf(job->reason, sizeof(job->reason), format, arguments);
	va_end(arguments);
}

/* Drop what was read from one place before the next is read from. */
void forget_input(void)
{
	input_start = input_end = 0;
}

/* The next byte from the host, or -1 at its end. */
static int next_byte(int channel)
{
	while (input_start == input_end) {
		ssize_t count = read(channel, input, sizeof(input));

		if (count < 0 && errno == EINTR)
			continue;
		if (count <= 0) {
			input_start = input_end = 0;
			return -1;
		}
		input_start = 0;
		input_end = count;
	}
	return (unsigned char)input[input_start++];
}

/*
 * Read a line into the job's text and return it without its end, or NULL when the host went away.
 * Once a job is refused its text is needed no more and is written over, so that `end` is found
 * after a job of any length.
 */
static char *read_line(int channel, struct job *job)
{
	size_t length = 0, room;
	char *line;

	if (sizeof(text) - text_used < sizeof("end"))
		refuse(job, "the job is longer than %zu bytes", sizeof(text));
	if (job->reason[0])
		text_used = 0;
	line = text + text_used;
	room = sizeof(text) - text_used - 1;

	for (;;) {
		int byte = next_byte(channel);

		if (byte < 0)
			return NULL;
		if (byte == '\n')
			break;
		if (!byte)
			refuse(job, "the job holds a NUL byte");
		if (length < room)
			line[length++] = (char)byte;
		else
			refuse(job, "the job is longer than %zu bytes", sizeof(text));
	}
	line[length] = '\0';
	text_used += length + 1;
	return line;
}

static char *next_word(struct job *job, char **rest, const char *keyword)
{
	char *word = strsep(rest, " ");

	if (!word)
		refuse(job, "`%s` needs another word", keyword);
	else if (!unescape(word))
		refuse(job, "`%s` holds a malformed escape", keyword);
	else
		return word;
	return NULL;
}

static void add_write(struct job *job, struct file_write *writes, size_t *count, char **rest,
		      const char *keyword)
{
	const char *path = next_word(job, rest, keyword);
	const char *content = path ? next_word(job, rest, keyword) : NULL;

	if (!content)
		return;
	if (*count == MAX_WRITES) {
		refuse(job, "more than %d `%s` lines", MAX_WRITES, keyword);
		return;
	}
	writes[(*count)++] = (struct file_write){ path, content };
}

static void add_source(struct job *job, const char **sources, size_t *count, char **rest,
		       const char *keyword)
{
	const char *source = next_word(job, rest, keyword);

	if (!source)
		return;
	if (*count == MAX_SOURCES) {
		refuse(job, "more than %d `%s` lines", MAX_SOURCES, keyword);
		return;
	}
	sources[(*count)++] = source;
}

static void add_argument(struct job *job, char **rest)
{
	char *word = next_word(job, rest, "arg");

	if (!word)
		return;
	if (job->words == MAX_WORDS) {
		refuse(job, "more than %d words in the command", MAX_WORDS);
		return;
	}
	job->argv[job->words++] = word;
}

static void set_number(struct job *job, unsigned long *number, char **rest, const char *keyword)
{
	const char *word = next_word(job, rest, keyword);
	char *end;

	if (!word)
		return;
	errno = 0;
	*number = strtoul(word, &end, 10);
	if (errno || end == word || *end || *word == '-')
		refuse(job, "`%s %s` is not a count", keyword, word);
}

static void take_line(struct job *job, char *line)
{
	char shown[64];
	char *rest = line;
	char *keyword = strsep(&rest, " ");

	if (!strcmp(keyword, "write"))
		add_write(job, job->setup, &job->setups, &rest, keyword);
	else if (!strcmp(keyword, "refresh"))
		add_write(job, job->refresh, &job->refreshes, &rest, keyword);
	else if (!strcmp(keyword, "source"))
		add_source(job, job->sources, &job->source_count, &rest, keyword);
	else if (!strcmp(keyword, "worker-source"))
		add_source(job, job->worker_sources, &job->worker_source_count, &rest, keyword);
	else if (!strcmp(keyword, "worker-limit"))
		set_number(job, &job->worker_limit, &rest, keyword);
	else if (!strcmp(keyword, "settle"))
		set_number(job, &job->settle_ms, &rest, keyword);
	else if (!strcmp(keyword, "arg"))
		add_argument(job, &rest);
	else
		refuse(job, "unknown line `%s`", escape(keyword, shown, sizeof(shown)));
	if (rest)
		refuse(job, "`%s` has too many words", escape(keyword, shown, sizeof(shown)));
}

/*
 * Read one job, up to its `end`, whatever it holds: a job that makes no sense comes back with its
 * reason set, and the channel stands at the start of the next one.
 */
int read_job(int channel, struct job *job)
{
	char shown[64];
	char *line;

	memset(job, 0, sizeof(*job));
	job->worker_limit = 1;
	text_used = 0;

	line = read_line(channel, job);
	if (!line)
		return JOB_EOF;
	if (strcmp(line, "job " PROTOCOL))
		refuse(job, "expected `job " PROTOCOL "`, not `%s`",
		       escape(line, shown, sizeof(shown)));
	while (strcmp(line, "end")) {
		line = read_line(channel, job);
		if (!line)
			return JOB_EOF;
		if (!job->reason[0] && strcmp(line, "end"))
			take_line(job, line);
	}
	if (!job->words)
		refuse(job, "the job has no command");
	return JOB_READ;
}
