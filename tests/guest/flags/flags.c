/* SPDX-License-Identifier: GPL-2.0 */
/*
 * An unprivileged user changes the flags of a file that processes map, touch,
 * unmap, protect, inherit and die with; see README.md.
 */
#include "../lib/observe.h"
#include "../lib/util.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE	 4096UL
#define GIB	 (1UL << 30)
#define HOME	 ((char *)0x200000000000UL)
#define USER	 65534
#define FLIPPERS 2
#define MAPPERS	 4
#define REAPERS	 2
#define MARKS	 64 /* pages of the file that hold a number */
#define STRIDE	 (GIB / MARKS)

#ifndef SYS_process_mrelease
#define SYS_process_mrelease 448
#endif

/* What is counted, each by the process that does it. */
enum count { SETFLAGS, SETXATTR, MAPPED, UNMAPPED, PROTECTED, FORKED, REAPED, WRONG, COUNTS };
static const char *const count_names[COUNTS] = {
	"FS_IOC_SETFLAGS", "FS_IOC_FSSETXATTR",
	"mapped",	   "unmapped in parts",
	"protected",	   "forked",
	"reaped",	   "wrong values",
};

static struct { /* shared by all processes */
	_Atomic long counts[COUNTS];
	_Atomic bool over;
} *all;

static char path[256];
static int fd;

static void count(enum count what)
{
	atomic_fetch_add(&all->counts[what], 1);
}

/* Every ioctl that sets flags of an inode, with flags that any owner may set. */
static void flip(void)
{
	struct fsxattr about;
	int flags;

	for (unsigned int i = 0; !atomic_load(&all->over); i++) {
		if (!ioctl(fd, FS_IOC_GETFLAGS, &flags)) {
			flags ^= i & 1 ? FS_NODUMP_FL : FS_NOATIME_FL;
			if (!ioctl(fd, FS_IOC_SETFLAGS, &flags))
				count(SETFLAGS);
		}
		if (i % 4 == 0 && !ioctl(fd, FS_IOC_FSGETXATTR, &about)) {
			about.fsx_xflags ^= FS_XFLAG_NODUMP;
			if (i % 16 == 0)
				about.fsx_xflags ^= FS_XFLAG_DAX;
			if (!ioctl(fd, FS_IOC_FSSETXATTR, &about))
				count(SETXATTR);
		}
	}
	_exit(0);
}

static char *map(bool private, bool writable)
{
	int protection = PROT_READ | (writable ? PROT_WRITE : 0);
	int flags = MAP_FIXED | (private ? MAP_PRIVATE | MAP_NORESERVE : MAP_SHARED);
	char *map;

	/* While ext2 has no S_DAX on the inode, it looks for a page cache that is not there. */
	do
		map = mmap(HOME, GIB, protection, flags, fd, 0);
	while (map == MAP_FAILED && errno == ENOEXEC);
	if (map == MAP_FAILED)
		die("mmap");
	count(MAPPED);
	return map;
}

/* Private copies and the file itself hold the same numbers: every store stores what is there. */
static void touch(char *map, unsigned int first, unsigned int marks, bool store)
{
	for (unsigned int i = first; i < first + marks && i < MARKS; i++) {
		volatile unsigned long *word = (void *)(map + i * STRIDE);

		if (*word != i + 1)
			count(WRONG);
		if (store)
			*word = i + 1;
	}
}

/* One life of a mapping; ends with whatever is left of it mapped. */
static void live(unsigned int *seed)
{
	bool private = rand_r(seed) % 3 == 0, writable = rand_r(seed) % 2;
	unsigned int part = rand_r(seed) % MARKS;
	char *home = map(private, writable);
	pid_t pid;

	touch(home, part, 8, writable && rand_r(seed) % 2);
	switch (rand_r(seed) % 6) {
	case 0:
		munmap(home + part * STRIDE, PAGE * 16);
		count(UNMAPPED);
		break;
	case 1:
		mprotect(home, GIB / 2, PROT_READ);
		touch(home, 0, 4, false);
		mprotect(home, GIB, PROT_READ | PROT_WRITE);
		touch(home, 0, 4, true);
		count(PROTECTED);
		break;
	case 2:
		pid = fork_child();
		if (pid == 0) {
			touch(home, 0, 8, false);
			_exit(0);
		}
		waitpid(pid, NULL, 0);
		count(FORKED);
		break;
	case 3:
		if (mremap(home, GIB, GIB, MREMAP_MAYMOVE | MREMAP_FIXED, home + 4 * GIB) !=
		    home + 4 * GIB)
			die("mremap");
		touch(home + 4 * GIB, 0, 4, false);
		munmap(home + 4 * GIB, GIB);
		return;
	default:
		break;
	}
	if (rand_r(seed) % 4)
		munmap(home, GIB);
}

static void map_and_unmap(unsigned int seed)
{
	while (!atomic_load(&all->over))
		live(&seed);
	_exit(0);
}

/* A process that dies with the file mapped, while the OOM reaper's code goes through its memory. */
static void reap(unsigned int seed)
{
	while (!atomic_load(&all->over)) {
		pid_t pid = fork_child();
		int pidfd;

		if (pid == 0) {
			char *home = map(rand_r(&seed) % 4, false);

			for (;;)
				touch(home, 0, MARKS, false);
		}
		pidfd = syscall(SYS_pidfd_open, pid, 0);
		if (pidfd < 0)
			die("pidfd_open");
		usleep(rand_r(&seed) % 20000);
		kill(pid, SIGKILL);
		while (!syscall(SYS_process_mrelease, pidfd, 0))
			count(REAPED);
		waitpid(pid, NULL, 0);
		close(pidfd);
	}
	_exit(0);
}

static void file_make(const char *directory)
{
	struct statx about;

	snprintf(path, sizeof(path), "%s/flags", directory);
	unlink(path);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (fd < 0 || ftruncate(fd, GIB) || fchown(fd, USER, USER))
		die(path);
	for (unsigned long i = 0; i < MARKS; i++) {
		unsigned long word = i + 1;

		if (pwrite(fd, &word, sizeof(word), i * STRIDE) != sizeof(word))
			die("pwrite");
	}
	if (statx(AT_FDCWD, path, 0, STATX_BASIC_STATS, &about) ||
	    !(about.stx_attributes & STATX_ATTR_DAX)) {
		fprintf(stderr, "flags: %s: no DAX\n", path);
		exit(1);
	}
}

static void everybody(int seconds)
{
	if (setgid(USER) || setuid(USER))
		die("setuid");
	for (int i = 0; i < FLIPPERS; i++)
		if (fork_child() == 0)
			flip();
	for (int i = 0; i < MAPPERS; i++)
		if (fork_child() == 0)
			map_and_unmap(i + 1);
	for (int i = 0; i < REAPERS; i++)
		if (fork_child() == 0)
			reap(i + 100);
	sleep(seconds);
	atomic_store(&all->over, true);
	for (;;) {
		int status;

		if (waitpid(-1, &status, 0) < 0)
			exit(0);
		if (status) {
			fprintf(stderr, "flags: a process ended with status 0x%x\n", status);
			exit(1);
		}
	}
}

int main(int argc, char **argv)
{
	static const struct option known[] = { { "directory", required_argument, NULL, 'd' },
					       { "seconds", required_argument, NULL, 's' },
					       { 0 } };
	const char *directory = "/mnt/dax";
	int option, status, seconds = 10;
	bool good;
	long attached;
	pid_t pid;

	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (option == 'd') {
			directory = optarg;
		} else if (option == 's') {
			seconds = atoi(optarg);
		} else {
			fputs("usage: flags [--directory /mnt/dax] [--seconds 10]\n", stderr);
			return 2;
		}
	}
	all = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (all == MAP_FAILED)
		die("mmap");
	file_make(directory);
	attached = sharing_known() ? tables_now().attach : 0;
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		everybody(seconds);
	waitpid(pid, &status, 0);
	good = status == 0 && all->counts[WRONG] == 0;
	for (int i = 0; i < COUNTS; i++) {
		printf("%s%s %ld", i ? ", " : "", count_names[i], all->counts[i]);
		/* What never happened was not tried. */
		good &= i == WRONG || all->counts[i] > 0;
	}
	if (sharing_known()) {
		attached = tables_now().attach - attached;
		printf(", attached %ld", attached);
		good &= (attached > 0) == sharing_on();
	}
	putchar('\n');
	close(fd);
	unlink(path);
	return !good;
}
