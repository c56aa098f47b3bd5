/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How a guest whose instructions are counted becomes a template: a device stops it.
 *
 * The host would stop it at a moment that depends on how busy the host is, and two templates of one
 * recipe would differ. Nor can the guest write to a device that stops it at once: QEMU does so a
 * little later, in another thread, and until then guest time may leap to the next timer. A watchdog
 * whose action is "pause" is a timer of guest time like any other: it expires while the guest
 * sleeps, in the thread that then stops it, before anything else can happen.
 *
 * The device is QEMU's i6300esb, after Intel's 6300ESB I/O controller hub, whose datasheet (order
 * number 300641, chapter 16) has its registers. No driver of the kernel's knows it here.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent.h"

#define PCI_DEVICES "/sys/bus/pci/devices"
#define VENDOR	    "0x8086"
#define DEVICE	    "0x25ab"

/* In the configuration space. Interrupts off, ticks of about 1 ms, act on the second expiry. */
#define CONFIGURATION 0x60
#define CONFIGURED    0x03
#define LOCK	      0x68
#define ENABLE	      0x02

/* In the memory. A preload is taken if the two words were written to the reload register before. */
#define TIMER_1	 0x00
#define TIMER_2	 0x04
#define RELOAD	 0x0c
#define UNLOCK_1 0x80
#define UNLOCK_2 0x86

/*
 * Twice so many ticks, some 300 ms, pass until the machine stops. By then the agent sleeps, and
 * deferred work of the kernel is over.
 */
#define TICKS 150

static int open_attribute(const char *device, const char *name, int flags)
{
	char path[512];

	snprintf(path, sizeof(path), PCI_DEVICES "/%s/%s", device, name);
	return open(path, flags | O_CLOEXEC);
}

static void read_attribute(const char *device, const char *name, char *text, size_t size)
{
	int fd = open_attribute(device, name, O_RDONLY);
	ssize_t length = fd < 0 ? -1 : read(fd, text, size - 1);

	text[length > 0 ? length : 0] = '\0';
	if (fd >= 0)
		close(fd);
}

static bool is_watchdog(const char *device)
{
	char vendor[16], number[16];

	read_attribute(device, "vendor", vendor, sizeof(vendor));
	read_attribute(device, "device", number, sizeof(number));
	return !strncmp(vendor, VENDOR, strlen(VENDOR)) && !strncmp(number, DEVICE, strlen(DEVICE));
}

static void preload(volatile char *memory, size_t timer)
{
	*(volatile uint16_t *)(memory + RELOAD) = UNLOCK_1;
	*(volatile uint16_t *)(memory + RELOAD) = UNLOCK_2;
	*(volatile uint32_t *)(memory + timer) = TICKS;
}

static void set_timers(const char *device)
{
	const size_t page = sysconf(_SC_PAGESIZE);
	int fd = open_attribute(device, "resource0", O_RDWR | O_SYNC);
	char resources[1024], *memory;
	unsigned long long start;

	/* Its sixteen bytes may lie anywhere in the page that can be mapped. */
	read_attribute(device, "resource", resources, sizeof(resources));
	start = strtoull(resources, NULL, 16);
	memory = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd < 0 || !start || memory == MAP_FAILED)
		give_up("the watchdog's registers: %s", strerror(errno));
	preload(memory + start % page, TIMER_1);
	preload(memory + start % page, TIMER_2);
	munmap(memory, page);
	close(fd);
}

static void start_watchdog(const char *device)
{
	const uint16_t configured = CONFIGURED;
	const uint8_t enable = ENABLE;
	int on = open_attribute(device, "enable", O_WRONLY);
	int config = open_attribute(device, "config", O_RDWR);

	if (on < 0 || config < 0 || write(on, "1", 1) != 1 ||
	    pwrite(config, &configured, sizeof(configured), CONFIGURATION) != sizeof(configured))
		give_up("the watchdog: %s", strerror(errno));
	set_timers(device);
	if (pwrite(config, &enable, sizeof(enable), LOCK) != sizeof(enable))
		give_up("the watchdog: %s", strerror(errno));
	close(on);
	close(config);
}

/* Have the machine stopped when it has settled. */
void freeze_machine(void)
{
	DIR *devices = opendir(PCI_DEVICES);
	bool started = false;
	struct dirent *device;

	while (devices && !started && (device = readdir(devices)) != NULL) {
		started = is_watchdog(device->d_name);
		if (started)
			start_watchdog(device->d_name);
	}
	if (!started)
		give_up("there is no watchdog to stop the machine");
	closedir(devices);
}
