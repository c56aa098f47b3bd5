/* SPDX-License-Identifier: GPL-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "agent.h"

static void write_all(int channel, struct iovec *parts, int count)
{
	while (count) {
		ssize_t done = writev(channel, parts, count);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			give_up("writing to the host: %s", strerror(errno));
		while (count && (size_t)done >= parts->iov_len) {
			done -= parts->iov_len;
			parts++;
			count--;
		}
		if (count) {
			parts->iov_base = (char *)parts->iov_base + done;
			parts->iov_len -= done;
		}
	}
}

void send_frame(int channel, const char *type, const char *keys, const void *payload, size_t length)
{
	char head[2048];
	int size = snprintf(head, sizeof(head), "%s %zu%s%s\n", type, length, *keys ? " " : "",
			    keys);
	struct iovec parts[] = {
		{ head, size },
		{ (void *)payload, length },
	};

	if (size < 0 || (size_t)size >= sizeof(head))
		give_up("the head of a %s frame is too long", type);
	write_all(channel, parts, length ? 2 : 1);
}

static bool is_plain(unsigned char byte)
{
	return byte > ' ' && byte < 0x7f && byte != '%';
}

/* Percent-escape into a buffer, cutting what does not fit; returns the buffer. */
const char *escape(const char *text, char *into, size_t size)
{
	size_t used = 0;

	for (; *text && used + 4 <= size; text++) {
		if (is_plain(*text))
			into[used++] = *text;
		else
			used += sprintf(into + used, "%%%02X", (unsigned char)*text);
	}
	into[used] = '\0';
	return into;
}

static int hex_digit(char digit)
{
	if (digit >= '0' && digit <= '9')
		return digit - '0';
	if (digit >= 'A' && digit <= 'F')
		return digit - 'A' + 10;
	if (digit >= 'a' && digit <= 'f')
		return digit - 'a' + 10;
	return -1;
}

/* Undo escape() in place; false on a malformed escape or an escaped NUL. */
bool unescape(char *text)
{
	char *out = text;

	while (*text) {
		int high, low;

		if (*text != '%') {
			*out++ = *text++;
			continue;
		}
		high = hex_digit(text[1]);
		low = high < 0 ? -1 : hex_digit(text[2]);
		if (low < 0 || (!high && !low))
			return false;
		*out++ = (char)(high << 4 | low);
		text += 3;
	}
	*out = '\0';
	return true;
}
