/* SPDX-License-Identifier: GPL-2.0 */
/*
 * windows: pieces of code of known length, between markers and readings of the clock.
 *
 * Each is a phase, and prints its name and the TSC ticks from the one reading to the other. Between
 * them are, besides the piece, two markers, one reading, and three instructions that keep the first.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* As in marker.h of the workloads. */
#define MARKER(kind) ".byte 0x0f, 0x1f, 0x80, " kind ", 0x6d, 0x6b, 0x74\n\t"
#define ANNOUNCE     MARKER("0")
#define CONTINUE     MARKER("1")
#define BEGIN	     MARKER("2")
#define END	     MARKER("3")

#define PAGES 200
#define PAGE  4096UL
/* More than what the kernel maps around a fault (fault_around_bytes). */
#define STEP  (64UL << 10)
#define JUMPS 50

#define TSC "rdtsc\n\tshl $32, %%rdx\n\tor %%rdx, %%rax\n\t"

/* The ticks that a piece takes, which finds an address in rsi. */
#define TICKS(piece, address)                                                                \
	({                                                                                   \
		char *at = address;                                                          \
		uint64_t ticks;                                                              \
                                                                                             \
		asm volatile(ANNOUNCE CONTINUE TSC "mov %%rax, %%r8\n\t" BEGIN piece END TSC \
						   "sub %%r8, %%rax"                         \
			     : "=a"(ticks), "+S"(at)::"rcx", "rdx", "r8", "r9", "r11", "cc", \
			       "memory");                                                    \
		ticks;                                                                       \
	})

/* 2 * 1000 + 1 instructions. */
#define LOOP "mov $1000, %%r9d\n1:\tdec %%r9d\n\tjnz 1b\n\t"
/* 4 * 100 + 1 instructions of this program: calls of getppid(2). */
#define CALL "mov $100, %%r9d\n1:\tmov $110, %%eax\n\tsyscall\n\tdec %%r9d\n\tjnz 1b\n\t"
/* 6 * PAGES + 1 instructions, of which every sixth faults at first, in the middle of a block. */
#define TOUCH                                                                       \
	"mov $200, %%r9d\n1:\tnop\n\tmovb $1, (%%rsi)\n\tnop\n\tadd $0x1000, %%rsi" \
	"\n\tdec %%r9d\n\tjnz 1b\n\t"
/* 5 * JUMPS + 1 instructions, of which every fifth, a return, cannot be fetched at first. */
#define JUMP "mov $50, %%r9d\n1:\tcall *%%rsi\n\tadd $0x10000, %%rsi\n\tdec %%r9d\n\tjnz 1b\n\t"

static void *map(size_t size, int protection, int flags, int fd)
{
	void *at = mmap(NULL, size, protection, flags, fd, 0);

	if (at == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	return at;
}

static void report(const char *name, uint64_t ticks)
{
	printf("%s %lu\n", name, ticks);
}

int main(void)
{
	int fd = memfd_create("code", 0);
	char *fresh, *code;

	if (fd < 0 || ftruncate(fd, JUMPS * STEP))
		return 1;
	fresh = map(PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	madvise(fresh, PAGES * PAGE, MADV_NOHUGEPAGE);
	code = map(JUMPS * STEP, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
	for (int i = 0; i < JUMPS; i++)
		code[i * STEP] = '\xc3'; /* ret */
	code = map(JUMPS * STEP, PROT_READ | PROT_EXEC, MAP_SHARED, fd);

	report("nothing", TICKS("", NULL));
	report("loop", TICKS(LOOP, NULL));
	report("call", TICKS(CALL, NULL));
	report("touch", TICKS(TOUCH, fresh));
	report("touch-again", TICKS(TOUCH, fresh));
	report("jump", TICKS(JUMP, code));
	report("jump-again", TICKS(JUMP, code));
	return 0;
}
