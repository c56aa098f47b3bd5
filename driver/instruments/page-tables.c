/* SPDX-License-Identifier: GPL-2.0 */
/*
 * page-tables: stop the guest after each phase was sampled, until somebody has looked at it.
 *
 *	-plugin page-tables.so,out=FILE,hold=SOCKET
 *
 * The marker that says that a phase was sampled (see marker.h) sends a byte to a Unix socket on
 * which the driver listens, and waits for a byte from there. QEMU executes nothing meanwhile, so
 * that the guest's memory is that of one moment, and under -icount no time passes. Nothing is
 * written to the guest. When the driver closes the socket, the guest is not stopped any more.
 *
 * `out` is the driver's: it writes there what it has seen.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "marker.h"
#include "plugin.h"

EXPORT int qemu_plugin_version = PLUGIN_API;

static int driver = -1;

static void on_marker(unsigned int cpu, void *data)
{
	char byte = '.';
	ssize_t got;

	(void)cpu;
	(void)data;
	if (driver < 0)
		return;
	got = send(driver, &byte, 1, MSG_NOSIGNAL);
	while (got == 1) {
		got = recv(driver, &byte, 1, 0);
		if (got == 1)
			return;
		if (got < 0 && errno == EINTR)
			got = 1;
	}
	close(driver);
	driver = -1;
}

static void on_translation(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	size_t length = qemu_plugin_tb_n_insns(tb);
	uint8_t code[MARKER_SIZE];

	(void)id;
	if (qemu_plugin_tb_vaddr(tb) >> 63)
		return;
	for (size_t i = 0; i < length; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);

		if (qemu_plugin_insn_size(insn) != MARKER_SIZE)
			continue;
		insn_bytes(insn, code, MARKER_SIZE);
		if (is_marker(code) && code[MARKER_KIND] == MARKER_CONTINUE)
			qemu_plugin_register_vcpu_insn_exec_cb(insn, on_marker,
							       QEMU_PLUGIN_CB_NO_REGS, NULL);
	}
}

static int connect_to(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(address.sun_path))
		return -1;
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		close(fd);
		fd = -1;
	}
	return fd;
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
	(void)info;
	for (int i = 0; i < argc; i++) {
		if (!strncmp(argv[i], "hold=", 5)) {
			driver = connect_to(argv[i] + 5);
			if (driver < 0) {
				fprintf(stderr, "page-tables: %s: %s\n", argv[i] + 5,
					strerror(errno));
				return 1;
			}
		} else if (strncmp(argv[i], "out=", 4)) {
			fprintf(stderr, "page-tables: unknown argument %s\n", argv[i]);
			return 1;
		}
	}
	if (driver < 0) {
		fputs("page-tables: hold=SOCKET is missing\n", stderr);
		return 1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
	return 0;
}
