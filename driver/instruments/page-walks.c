/* SPDX-License-Identifier: GPL-2.0 */
/*
 * page-walks: what a model of TLBs and caches makes of the guest's loads and stores.
 *
 *	-plugin page-walks.so,out=FILE,machine=SPEC[,machine=SPEC...],direct=HEX,levels=N
 *
 * Each access goes through the model of each machine (see walk-model.h); at a TLB miss the model
 * walks the guest's page tables, which the kernel's direct map, at the address `direct`, makes
 * readable. Writes to CR3 and CR4 and INVLPG are seen as they are executed.
 *
 * Windows are set by marker instructions, as in functions.c. The model starts empty when the first
 * one begins: filling page tables takes many more accesses than are of interest. From then on it
 * sees everything, so that a window begins with what the guest has left behind.
 *
 * Lines of the output:
 *
 *	count MACHINE PHASE WINDOW SPACE EVENT LEVEL SERVED TIMES
 *		level of the page tables, from 0 at the leaf, and what served it; - if it has none
 *	end
 */
#include <errno.h>

#include "marker.h"
#include "plugin.h"
#include "walk-model.h"

#if PLUGIN_API < 4
#error "page-walks needs QEMU 10.0 or newer"
#endif

EXPORT int qemu_plugin_version = PLUGIN_API;

enum { MOST_MACHINES = 4, MOST_CPUS = 64, REGISTERS = 16 };

enum window { WORK, COST, SAMPLING, WINDOWS };

enum space { USER, KERNEL, SPACES };

static const char *const window_names[WINDOWS] = { "other", "cost", "sampling" };
static const char *const space_names[SPACES] = { "user", "kernel" };
static const char *const served_names[SERVERS] = { "L1", "L2", "LLC", "memory" };
/* As the code of an instruction numbers them, and as QEMU calls them. */
static const char *const register_names[REGISTERS] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp",
						       "rsi", "rdi", "r8",  "r9",  "r10", "r11",
						       "r12", "r13", "r14", "r15" };

static FILE *out;
static struct model models[MOST_MACHINES];
static struct machine machines[MOST_MACHINES];
static struct counts counts[MOST_MACHINES][WINDOWS][SPACES];
static unsigned int machine_count, cpu_count, levels = 4;
static uint64_t direct;
static struct qemu_plugin_register *registers[MOST_CPUS][REGISTERS], *cr3[MOST_CPUS];
static bool active, has_root[MOST_CPUS];
static unsigned int phase;
static enum window window = WORK;
static GByteArray *bytes;

static uint64_t read_entry(void *context, uint64_t address, bool *failed)
{
	uint64_t entry = 0;

	(void)context;
	g_byte_array_set_size(bytes, 0);
	if (!qemu_plugin_read_memory_vaddr(direct + address, bytes, sizeof(entry)))
		*failed = true;
	else
		memcpy(&entry, bytes->data, sizeof(entry));
	return entry;
}

static uint64_t read_register(struct qemu_plugin_register *handle)
{
	uint64_t value = 0;
	int size;

	g_byte_array_set_size(bytes, 0);
	size = qemu_plugin_read_register(handle, bytes);
	if (size > 0)
		memcpy(&value, bytes->data,
		       (size_t)size < sizeof(value) ? (size_t)size : sizeof(value));
	return value;
}

static void on_access(unsigned int cpu, qemu_plugin_meminfo_t info, uint64_t address, void *data)
{
	struct qemu_plugin_hwaddr *place;
	enum space space = address >> 63 ? KERNEL : USER;
	uint64_t physical;

	(void)data;
	if (!active)
		return;
	place = qemu_plugin_get_hwaddr(info, address);
	if (!place || qemu_plugin_hwaddr_is_io(place))
		return;
	physical = qemu_plugin_hwaddr_phys_addr(place);
	if (!has_root[cpu]) {
		has_root[cpu] = true;
		for (unsigned int i = 0; i < machine_count; i++)
			model_switch(&models[i], cpu, read_register(cr3[cpu]));
	}
	for (unsigned int i = 0; i < machine_count; i++)
		model_access(&models[i], cpu, address, physical, &counts[i][window][space]);
}

/* What changes translations, and from which register its operand comes. */
struct change {
	enum { WRITES_CR3, WRITES_CR4, INVALIDATES } kind;
	unsigned int source;
};

static void on_change(unsigned int cpu, void *data)
{
	const struct change *change = data;
	uint64_t value = read_register(registers[cpu][change->source]);

	for (unsigned int i = 0; i < machine_count; i++) {
		if (change->kind == WRITES_CR3)
			model_switch(&models[i], cpu, value);
		else if (change->kind == WRITES_CR4)
			model_flush(&models[i], cpu);
		else
			model_invalidate(&models[i], cpu, value);
	}
	has_root[cpu] = has_root[cpu] || change->kind == WRITES_CR3;
}

/*
 * MOV to CR3 and CR4 are 0F 22 with the register in the upper bits of ModRM, INVLPG is 0F 01 /7 with
 * a memory operand. Linux has its address in a register, without an index or a displacement.
 */
static bool changes_translations(const uint8_t *code, size_t size, struct change *change)
{
	unsigned int extension = 0, modrm;

	if (size >= 4 && (code[0] & 0xf0) == 0x40) {
		extension = (code[0] & 1) << 3;
		code++;
		size--;
	}
	if (size < 3 || code[0] != 0x0f)
		return false;
	modrm = code[2];
	change->source = (modrm & 7) | extension;
	if (code[1] == 0x22 && ((modrm >> 3 & 7) == 3 || (modrm >> 3 & 7) == 4)) {
		change->kind = (modrm >> 3 & 7) == 3 ? WRITES_CR3 : WRITES_CR4;
		return true;
	}
	change->kind = INVALIDATES;
	return code[1] == 0x01 && (modrm >> 3 & 7) == 7 && modrm >> 6 != 3;
}

static void print_count(unsigned int machine, unsigned int w, unsigned int space, const char *event,
			int level, int served, uint64_t times)
{
	char number[8] = "-";

	if (level >= 0)
		snprintf(number, sizeof(number), "%d", level);
	if (times)
		fprintf(out, "count %s %u %s %s %s %s %s %lu\n", machines[machine].name, phase,
			window_names[w], space_names[space], event, number,
			served >= 0 ? served_names[served] : "-", times);
}

static void print_counts(unsigned int m, unsigned int w, unsigned int s)
{
	struct counts *found = &counts[m][w][s];

	print_count(m, w, s, "access", -1, -1, found->accesses);
	for (int served = 0; served < SERVERS; served++)
		print_count(m, w, s, "data", -1, served, found->data[served]);
	print_count(m, w, s, "translation", -1, BY_L1, found->translated[0]);
	print_count(m, w, s, "translation", -1, BY_L2, found->translated[1]);
	print_count(m, w, s, "walk", -1, -1, found->walks);
	for (int level = 0; level < MOST_LEVELS; level++)
		for (int served = 0; served < SERVERS; served++)
			print_count(m, w, s, "reference", level, served,
				    found->references[level][served]);
	print_count(m, w, s, "displaced", -1, -1, found->displaced);
	print_count(m, w, s, "stale", -1, -1, found->stale);
	print_count(m, w, s, "failed", -1, -1, found->failed);
	memset(found, 0, sizeof(*found));
}

static void print_phase(void)
{
	for (unsigned int i = 0; i < machine_count; i++) {
		for (unsigned int w = 0; w < WINDOWS; w++)
			for (unsigned int s = 0; s < SPACES; s++)
				print_counts(i, w, s);
		/* As they are at the end of the phase. */
		print_count(i, WORK, KERNEL, "table-lines", -1, BY_LLC, models[i].table_lines);
	}
}

static void on_marker(unsigned int cpu, void *data)
{
	(void)cpu;
	switch ((enum marker)(uintptr_t)data) {
	case MARKER_ANNOUNCE:
		window = SAMPLING;
		break;
	case MARKER_CONTINUE:
		print_phase();
		phase++;
		window = WORK;
		break;
	case MARKER_BEGIN:
		active = true;
		window = COST;
		break;
	case MARKER_END:
		window = WORK;
		break;
	}
}

static void on_translation(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	size_t length = qemu_plugin_tb_n_insns(tb);
	bool user = !(qemu_plugin_tb_vaddr(tb) >> 63);

	(void)id;
	for (size_t i = 0; i < length; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		size_t size = qemu_plugin_insn_size(insn);
		uint8_t code[MAX_INSN] = { 0 };
		struct change change;

		insn_bytes(insn, code, size < MAX_INSN ? size : MAX_INSN);
		qemu_plugin_register_vcpu_mem_cb(insn, on_access, QEMU_PLUGIN_CB_R_REGS,
						 QEMU_PLUGIN_MEM_RW, NULL);
		if (user && size == MARKER_SIZE && is_marker(code))
			qemu_plugin_register_vcpu_insn_exec_cb(insn, on_marker,
							       QEMU_PLUGIN_CB_NO_REGS,
							       (void *)(uintptr_t)
								       code[MARKER_KIND]);
		if (!user && changes_translations(code, size, &change)) {
			struct change *kept = model_alloc(1, sizeof(*kept));

			*kept = change;
			qemu_plugin_register_vcpu_insn_exec_cb(insn, on_change,
							       QEMU_PLUGIN_CB_R_REGS, kept);
		}
	}
}

static void on_cpu(qemu_plugin_id_t id, unsigned int cpu)
{
	GArray *known = qemu_plugin_get_registers();
	qemu_plugin_reg_descriptor *all = (void *)known->data;

	(void)id;
	for (unsigned int i = 0; i < known->len; i++) {
		for (int j = 0; j < REGISTERS; j++)
			if (!strcmp(all[i].name, register_names[j]))
				registers[cpu][j] = all[i].handle;
		if (!strcmp(all[i].name, "cr3"))
			cr3[cpu] = all[i].handle;
	}
	if (!cr3[cpu] || !registers[cpu][REGISTERS - 1]) {
		fputs("page-walks: QEMU does not show CR3\n", stderr);
		exit(1);
	}
}

static void on_exit_of_qemu(qemu_plugin_id_t id, void *data)
{
	(void)id;
	(void)data;
	print_phase();
	/* Only if all of it has reached the file. */
	if (!fflush(out) && !ferror(out))
		fputs("end\n", out);
	fclose(out);
}

static bool parse_argument(char *argument)
{
	char *value = strchr(argument, '=');

	if (!value)
		return false;
	*value++ = 0;
	if (!strcmp(argument, "out"))
		return (out = fopen(value, "w"));
	if (!strcmp(argument, "direct"))
		return (direct = strtoull(value, NULL, 16));
	if (!strcmp(argument, "levels"))
		return (levels = atoi(value)) >= 4 && levels <= MOST_LEVELS;
	return !strcmp(argument, "machine") && machine_count < MOST_MACHINES &&
	       parse_machine(&machines[machine_count++], value);
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
	cpu_count = info->system_emulation ? info->system.smp_vcpus : 0;
	if (!cpu_count || cpu_count > MOST_CPUS) {
		fprintf(stderr, "page-walks: only for systems of up to %d processors\n", MOST_CPUS);
		return 1;
	}
	for (int i = 0; i < argc; i++) {
		if (!parse_argument(argv[i])) {
			fprintf(stderr, "page-walks: bad argument %s\n", argv[i]);
			return 1;
		}
	}
	if (!out || !direct || !machine_count) {
		fputs("page-walks: out=, direct= or machine= is missing\n", stderr);
		return 1;
	}
	bytes = g_byte_array_new();
	for (unsigned int i = 0; i < machine_count; i++)
		model_init(&models[i], &machines[i], cpu_count, levels, read_entry, NULL);
	qemu_plugin_register_vcpu_init_cb(id, on_cpu);
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
	qemu_plugin_register_atexit_cb(id, on_exit_of_qemu, NULL);
	return 0;
}
