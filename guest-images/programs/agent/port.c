/* SPDX-License-Identifier: GPL-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent.h"

#define PORTS "/sys/class/virtio-ports"

static bool has_name(const char *port, const char *wanted)
{
	char path[sizeof(PORTS) + 256 + sizeof("//name")], name[128];
	ssize_t length;
	int fd;

	snprintf(path, sizeof(path), PORTS "/%s/name", port);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	length = read(fd, name, sizeof(name) - 1);
	close(fd);
	if (length <= 0)
		return false;
	name[length] = '\0';
	name[strcspn(name, "\n")] = '\0';
	return !strcmp(name, wanted);
}

/* The descriptor of the named port, or -1 while there is none. */
static int find_port(const char *name)
{
	DIR *ports = opendir(PORTS);
	int fd = -1;

	if (!ports)
		return -1;
	for (struct dirent *port; fd < 0 && (port = readdir(ports)) != NULL;) {
		char path[sizeof("/dev/") + sizeof(port->d_name)];

		if (port->d_name[0] == '.' || !has_name(port->d_name, name))
			continue;
		snprintf(path, sizeof(path), "/dev/%s", port->d_name);
		fd = open(path, O_RDWR | O_CLOEXEC);
	}
	closedir(ports);
	return fd;
}

/*
 * Open a virtio-serial port by name. The host announces names in messages of their own, which the
 * kernel works off in the background, so the port may appear after us: we then sleep until the
 * kernel reports a device event and look again.
 */
int open_port(const char *name)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = 1 };
	int events, port;

	/* Listen before the first look, so that nothing can appear in between unseen. */
	events = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);
	if (events < 0 || bind(events, (struct sockaddr *)&address, sizeof(address)))
		give_up("listening for devices: %s", strerror(errno));
	for (port = find_port(name); port < 0; port = find_port(name)) {
		char event[4096];

		/* ENOBUFS: events were lost, which is one more reason to look. */
		if (recv(events, event, sizeof(event), 0) < 0 && errno != EINTR && errno != ENOBUFS)
			give_up("waiting for %s: %s", name, strerror(errno));
	}
	close(events);
	return port;
}
