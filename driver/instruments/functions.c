/* SPDX-License-Identifier: GPL-2.0 */
/*
 * functions: how often each instruction of the guest is executed, by processor and by window.
 *
 *	-plugin functions.so,out=FILE[,faults=HEX:HEX:...][,threads=on]
 *
 * QEMU translates straight runs of instructions into blocks. A callback at the entry of a block
 * costs little, but does not tell whether the previous block was executed to its end: a page fault
 * leaves it in the middle. So each instruction also adds one to a number, inline, and the next entry
 * sees how many instructions were attempted. If that entry is the handler of a fault (`faults` are
 * their addresses), the last of them did not finish, and will be attempted again: it does not count,
 * as it does not under -icount.
 *
 * Whether the last instruction of a block has faulted, or finished before the fetch of the next one
 * faulted, is seen from its memory accesses, which are counted as well.
 *
 * Windows are set by marker instructions (see marker.h): the workload announces a phase, continues
 * after it was sampled, and begins and ends what it measures. A marker costs one instruction whether
 * or not anyone looks.
 *
 * With `threads` each processor runs in a thread of its own (no -icount). The interface before 9.0
 * has no inline counters for that: every instruction then calls a function.
 *
 * Lines of the output, numbers in decimal unless noted:
 *
 *	block NUMBER ADDRESS PAGE SIZES [BYTES]
 *		address in hex; page of host memory in hex and the code in hex for user space; a hex
 *		digit for the size of each instruction
 *	count PHASE WINDOW CPU BLOCK FIRST END TIMES
 *	window PHASE WINDOW TIMES
 *	uncertain PHASE TIMES
 *	end
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "marker.h"
#include "plugin.h"

EXPORT int qemu_plugin_version = PLUGIN_API;

enum { MAX_CPUS = 64, MAX_FAULTS = 32, BUCKETS = 1 << 16 };

enum window { WORK, COST, SAMPLING, WINDOWS };

static const char *const window_names[WINDOWS] = { "other", "cost", "sampling" };

/* Part of a block that was executed: instructions first..end-1, and how often, by CPU and window. */
struct part {
	struct part *next;
	unsigned int first, end;
	uint64_t times[];
};

struct block {
	struct block *next;
	uint64_t number, address, page;
	unsigned int length;
	bool handles_fault;
	/* Memory accesses of its last instruction, if it was ever seen to finish. */
	bool finished;
	uint64_t accesses;
	bool last_is_branch, last_is_call;
	struct part *whole, *others;
	uint8_t sizes[];
};

/* What inline code counts. */
struct tally {
	uint64_t attempted, accesses;
};

struct cpu {
	struct block *block;
	unsigned int first;
	/* Since the entry of the block. */
	struct tally done;
	/* The tally up to which `done` counts. */
	struct tally seen;
};

struct mark {
	enum marker kind;
	unsigned int index;
	struct block *block;
};

static FILE *out;
static bool threads;
static unsigned int cpu_count;
static uint64_t faults[MAX_FAULTS];
static unsigned int fault_count;
static struct cpu cpus[MAX_CPUS];
static struct block *blocks[BUCKETS];
static uint64_t block_count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned int phase;
static enum window window = WORK;
static uint64_t entered[WINDOWS], uncertain;

#if PLUGIN_API >= 2

static struct qemu_plugin_scoreboard *scores;

static struct tally *tally_of(unsigned int cpu)
{
	return qemu_plugin_scoreboard_find(scores, cpu);
}

static void count_insn(struct qemu_plugin_insn *insn)
{
	qemu_plugin_u64 entry = { scores, offsetof(struct tally, attempted) };

	qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(insn, QEMU_PLUGIN_INLINE_ADD_U64, entry,
							    1);
}

static void count_accesses(struct qemu_plugin_insn *insn)
{
	qemu_plugin_u64 entry = { scores, offsetof(struct tally, accesses) };

	qemu_plugin_register_vcpu_mem_inline_per_vcpu(insn, QEMU_PLUGIN_MEM_RW,
						      QEMU_PLUGIN_INLINE_ADD_U64, entry, 1);
}

/* Each processor has a tally. */
static void share_out(unsigned int cpu)
{
	(void)cpu;
}

#else

/* Without threads all processors use the first, one after another. */
static struct tally tallies[MAX_CPUS];
static unsigned int running;

static struct tally *tally_of(unsigned int cpu)
{
	return &tallies[threads ? cpu : 0];
}

static void on_insn(unsigned int cpu, void *data)
{
	(void)data;
	tallies[cpu].attempted++;
}

static void on_access(unsigned int cpu, qemu_plugin_meminfo_t info, uint64_t address, void *data)
{
	(void)info;
	(void)address;
	(void)data;
	tallies[cpu].accesses++;
}

static void count_insn(struct qemu_plugin_insn *insn)
{
	if (threads)
		qemu_plugin_register_vcpu_insn_exec_cb(insn, on_insn, QEMU_PLUGIN_CB_NO_REGS, NULL);
	else
		qemu_plugin_register_vcpu_insn_exec_inline(insn, QEMU_PLUGIN_INLINE_ADD_U64,
							   &tallies[0].attempted, 1);
}

static void count_accesses(struct qemu_plugin_insn *insn)
{
	if (threads)
		qemu_plugin_register_vcpu_mem_cb(insn, on_access, QEMU_PLUGIN_CB_NO_REGS,
						 QEMU_PLUGIN_MEM_RW, NULL);
	else
		qemu_plugin_register_vcpu_mem_inline(insn, QEMU_PLUGIN_MEM_RW,
						     QEMU_PLUGIN_INLINE_ADD_U64,
						     &tallies[0].accesses, 1);
}

#endif

/* Add to `done` of a processor what was tallied since it was looked at last. */
static void catch_up(struct cpu *cpu, const struct tally *now)
{
	cpu->done.attempted += now->attempted - cpu->seen.attempted;
	cpu->done.accesses += now->accesses - cpu->seen.accesses;
	cpu->seen = *now;
}

#if PLUGIN_API < 2

/* What the common tally holds since the last entry was done by the processor that ran until now. */
static void share_out(unsigned int cpu)
{
	if (threads || running == cpu)
		return;
	catch_up(&cpus[running], &tallies[0]);
	cpus[cpu].seen = tallies[0];
	running = cpu;
}

#endif

static void *allocate(size_t size)
{
	void *memory = calloc(1, size);

	if (!memory) {
		fputs("functions: out of memory\n", stderr);
		abort();
	}
	return memory;
}

static struct part *new_part(unsigned int first, unsigned int end)
{
	struct part *part = allocate(sizeof(*part) + cpu_count * WINDOWS * sizeof(part->times[0]));

	part->first = first;
	part->end = end;
	return part;
}

static struct part *find_part(struct block *block, unsigned int first, unsigned int end)
{
	struct part *part;

	if (!first && end == block->length)
		return block->whole;
	pthread_mutex_lock(&lock);
	for (part = block->others; part; part = part->next)
		if (part->first == first && part->end == end)
			break;
	if (!part) {
		part = new_part(first, end);
		part->next = block->others;
		block->others = part;
	}
	pthread_mutex_unlock(&lock);
	return part;
}

static void count(unsigned int cpu, struct block *block, unsigned int first, unsigned int end)
{
	uint64_t *times;

	if (first >= end)
		return;
	times = &find_part(block, first, end)->times[cpu * WINDOWS + window];
	if (threads)
		__atomic_fetch_add(times, 1, __ATOMIC_RELAXED);
	else
		++*times;
}

/* Did the fault interrupt the last instruction attempted, and not the fetch of the one after it? */
static bool interrupted(const struct cpu *cpu)
{
	const struct block *block = cpu->block;
	uint64_t expected = block->finished ? block->accesses : !block->last_is_branch;

	if (cpu->done.attempted < block->length)
		return true;
	if (cpu->done.accesses >= expected)
		return false;
	/* A call or return would have accessed memory; of others that is only known later. */
	if (!block->finished && !block->last_is_call)
		uncertain++;
	return true;
}

/* Count what a processor executed of its block; it has left it, for the handler of a fault or not. */
static void settle(unsigned int index, bool fault)
{
	struct cpu *cpu = &cpus[index];
	struct block *block = cpu->block;
	uint64_t end = cpu->done.attempted;

	if (!block)
		return;
	if (fault && end && interrupted(cpu)) {
		end--;
	} else if (!fault && end == block->length) {
		block->finished = true;
		if (cpu->done.accesses > block->accesses)
			block->accesses = cpu->done.accesses;
	}
	count(index, block, cpu->first, end < block->length ? end : block->length);
	cpu->block = NULL;
}

static void on_entry(unsigned int index, void *data)
{
	struct cpu *cpu = &cpus[index];
	struct block *block = data;

	share_out(index);
	catch_up(cpu, tally_of(index));
	settle(index, block->handles_fault);
	cpu->block = block;
	cpu->first = 0;
	cpu->done = (struct tally){ 0 };
}

static void print_counts(struct block *block, struct part *part)
{
	for (unsigned int i = 0; i < cpu_count * WINDOWS; i++) {
		uint64_t times = __atomic_exchange_n(&part->times[i], 0, __ATOMIC_RELAXED);

		if (times)
			fprintf(out, "count %u %s %u %lu %u %u %lu\n", phase,
				window_names[i % WINDOWS], i / WINDOWS, block->number, part->first,
				part->end, times);
	}
}

static void print_phase(void)
{
	pthread_mutex_lock(&lock);
	for (size_t bucket = 0; bucket < BUCKETS; bucket++) {
		for (struct block *block = blocks[bucket]; block; block = block->next) {
			print_counts(block, block->whole);
			for (struct part *part = block->others; part; part = part->next)
				print_counts(block, part);
		}
	}
	for (int i = 0; i < WINDOWS; i++) {
		if (entered[i])
			fprintf(out, "window %u %s %lu\n", phase, window_names[i], entered[i]);
		entered[i] = 0;
	}
	if (uncertain)
		fprintf(out, "uncertain %u %lu\n", phase, uncertain);
	uncertain = 0;
	pthread_mutex_unlock(&lock);
}

/* Count what the other processors have executed up to now, when they take turns. */
static void count_others(unsigned int index)
{
	for (unsigned int i = 0; i < cpu_count && !threads; i++) {
		struct cpu *cpu = &cpus[i];

		if (i == index || !cpu->block)
			continue;
#if PLUGIN_API >= 2
		catch_up(cpu, tally_of(i));
#endif
		count(i, cpu->block, cpu->first, cpu->done.attempted);
		cpu->first = cpu->done.attempted;
	}
}

/* End a window just before or just after the marker, of which all before was executed. */
static void on_marker(unsigned int index, void *data)
{
	const struct mark *mark = data;
	struct cpu *cpu = &cpus[index];
	/* Neither that of the beginning nor that of the end is part of what is measured. */
	unsigned int end = mark->index + (mark->kind == MARKER_BEGIN);

	count_others(index);
	count(index, mark->block, cpu->first, end);
	cpu->first = end;
	switch (mark->kind) {
	case MARKER_ANNOUNCE:
		window = SAMPLING;
		break;
	case MARKER_CONTINUE:
		print_phase();
		phase++;
		window = WORK;
		break;
	case MARKER_BEGIN:
		window = COST;
		break;
	case MARKER_END:
		window = WORK;
		return;
	}
	entered[window]++;
}

/* Jumps to a place that is part of the instruction access no memory: EB, E9, 7x, 0F 8x. */
static bool is_branch(const uint8_t *code)
{
	return code[0] == 0xeb || code[0] == 0xe9 || (code[0] & 0xf0) == 0x70 ||
	       (code[0] == 0x0f && (code[1] & 0xf0) == 0x80);
}

/* Calls and returns: E8, C3, FF. */
static bool is_call(const uint8_t *code)
{
	return code[0] == 0xe8 || code[0] == 0xc3 || code[0] == 0xff;
}

static bool is_kernel(uint64_t address)
{
	return address >> 63;
}

static struct block *new_block(const struct qemu_plugin_tb *tb, uint64_t page, const uint8_t *sizes,
			       unsigned int length)
{
	struct block *block = allocate(sizeof(*block) + length);
	uint8_t code[MAX_INSN + 1] = { 0 };

	block->number = block_count++;
	block->address = qemu_plugin_tb_vaddr(tb);
	block->page = page;
	block->length = length;
	memcpy(block->sizes, sizes, length);
	for (unsigned int i = 0; i < fault_count; i++)
		block->handles_fault |= faults[i] == block->address;
	block->whole = new_part(0, length);
	insn_bytes(qemu_plugin_tb_get_insn(tb, length - 1), code, sizes[length - 1]);
	block->last_is_branch = is_branch(code);
	block->last_is_call = is_call(code);
	fprintf(out, "block %lu %lx %lx ", block->number, block->address, page);
	for (unsigned int i = 0; i < length; i++)
		fprintf(out, "%x", sizes[i]);
	if (!is_kernel(block->address)) {
		fputc(' ', out);
		for (unsigned int i = 0; i < length; i++) {
			insn_bytes(qemu_plugin_tb_get_insn(tb, i), code, sizes[i]);
			for (unsigned int j = 0; j < sizes[i]; j++)
				fprintf(out, "%02x", code[j]);
		}
	}
	fputc('\n', out);
	return block;
}

/*
 * The block of a translation. The same code is translated again whenever QEMU has forgotten it, and
 * in shorter blocks; user code at one address may be that of any program.
 */
static struct block *find_block(const struct qemu_plugin_tb *tb, const uint8_t *sizes,
				unsigned int length)
{
	uint64_t address = qemu_plugin_tb_vaddr(tb);
	void *host = qemu_plugin_insn_haddr(qemu_plugin_tb_get_insn(tb, 0));
	uint64_t page = is_kernel(address) ? 0 : (uint64_t)(uintptr_t)host >> 12;
	uint64_t hash = (address * 31 + length) * 31 + page;
	struct block **bucket = &blocks[(hash ^ hash >> 16) % BUCKETS], *block;

	for (block = *bucket; block; block = block->next)
		if (block->address == address && block->page == page && block->length == length &&
		    !memcmp(block->sizes, sizes, length))
			return block;
	block = new_block(tb, page, sizes, length);
	block->next = *bucket;
	*bucket = block;
	return block;
}

static void on_translation(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	unsigned int length = qemu_plugin_tb_n_insns(tb);
	bool user = !is_kernel(qemu_plugin_tb_vaddr(tb));
	uint8_t sizes[length], code[MAX_INSN];
	struct block *block;

	(void)id;
	for (unsigned int i = 0; i < length; i++)
		sizes[i] = qemu_plugin_insn_size(qemu_plugin_tb_get_insn(tb, i));
	pthread_mutex_lock(&lock);
	block = find_block(tb, sizes, length);
	pthread_mutex_unlock(&lock);
	qemu_plugin_register_vcpu_tb_exec_cb(tb, on_entry, QEMU_PLUGIN_CB_NO_REGS, block);
	for (unsigned int i = 0; i < length; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);

		count_insn(insn);
		if (i == length - 1)
			count_accesses(insn);
		if (!user || sizes[i] != MARKER_SIZE)
			continue;
		insn_bytes(insn, code, MARKER_SIZE);
		if (is_marker(code)) {
			struct mark *mark = allocate(sizeof(*mark));

			*mark = (struct mark){ code[MARKER_KIND], i, block };
			qemu_plugin_register_vcpu_insn_exec_cb(insn, on_marker,
							       QEMU_PLUGIN_CB_NO_REGS, mark);
		}
	}
}

static void on_exit_of_qemu(qemu_plugin_id_t id, void *data)
{
	(void)id;
	(void)data;
	for (unsigned int i = 0; i < cpu_count; i++) {
		share_out(i);
		catch_up(&cpus[i], tally_of(i));
		settle(i, false);
	}
	print_phase();
	/* Only if all of it has reached the file. */
	if (!fflush(out) && !ferror(out))
		fputs("end\n", out);
	fclose(out);
}

static void parse_faults(char *list)
{
	for (char *word = strtok(list, ":"); word && fault_count < MAX_FAULTS;
	     word = strtok(NULL, ":"))
		faults[fault_count++] = strtoull(word, NULL, 16);
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
	if (!info->system_emulation || info->system.smp_vcpus > MAX_CPUS) {
		fprintf(stderr, "functions: only for systems of up to %d processors\n", MAX_CPUS);
		return 1;
	}
	cpu_count = info->system.smp_vcpus;
	for (int i = 0; i < argc; i++) {
		if (!strncmp(argv[i], "out=", 4)) {
			out = fopen(argv[i] + 4, "w");
			if (!out) {
				fprintf(stderr, "functions: %s: %s\n", argv[i] + 4,
					strerror(errno));
				return 1;
			}
		} else if (!strncmp(argv[i], "faults=", 7)) {
			parse_faults(argv[i] + 7);
		} else if (!strcmp(argv[i], "threads=on")) {
			threads = true;
		} else if (strcmp(argv[i], "threads=off")) {
			fprintf(stderr, "functions: unknown argument %s\n", argv[i]);
			return 1;
		}
	}
	if (!out) {
		fputs("functions: out=FILE is missing\n", stderr);
		return 1;
	}
#if PLUGIN_API >= 2
	scores = qemu_plugin_scoreboard_new(sizeof(struct tally));
#endif
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
	qemu_plugin_register_atexit_cb(id, on_exit_of_qemu, NULL);
	return 0;
}
