/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A model of what stands between a load and memory: data TLBs, paging-structure caches and a cache
 * hierarchy, whose last level all processors share. It sees each access and what flushes TLBs; at a
 * TLB miss it walks the real page tables.
 *
 * Every array is set-associative with least-recently-used replacement. Fills go into all levels; an
 * eviction from one leaves the others alone. Not modelled: instruction fetches, prefetching, walks
 * that are speculative or overlap, dirty and accessed bits, coherence between the processors' own
 * caches, and how the last level is cut into slices.
 *
 * Intel SDM volume 3, "Caching Translation Information", says what a processor may cache, and what
 * INVLPG and writes to CR3 take out of it.
 */
#ifndef WALK_MODEL_H
#define WALK_MODEL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_SHIFT = 6, SMALL_SHIFT = 12, LEVEL_BITS = 9, MOST_LEVELS = 5, MOST_ASIDS = 64 };

#define ENTRY_PRESENT 1UL
#define ENTRY_LEAF    0x80UL
#define ENTRY_FRAME   0x000ffffffffff000UL

/* Levels of page tables, counted from the leaf. */
enum level { PTE, PMD, PUD, P4D, PGD };

/* What served a reference to memory, or a translation. */
enum served { BY_L1, BY_L2, BY_LLC, BY_MEMORY, SERVERS };

struct array {
	uint64_t sets, ways, clock;
	/* Per way: 0 or a key + 1; when it was last used; what it holds. */
	uint64_t *keys, *used, *values;
};

struct machine {
	char name[32];
	/* Of pages of 4 KiB and of 2 MiB; without sets of its own the second is part of the first. */
	struct array l1[2], l2[2];
	/* By the level of the table that an entry leads to: PTE for the PDE cache. */
	struct array paging[MOST_LEVELS];
	struct array l1d, l2d, llc;
	unsigned int asids;
};

struct counts {
	uint64_t accesses, data[SERVERS];
	/* Translations by TLB; the rest are walks. */
	uint64_t translated[2], walks, references[MOST_LEVELS][SERVERS];
	/* Data that had to be fetched again because a page table had taken its place. */
	uint64_t displaced;
	/* A translation in a TLB that is not that of the page tables any more; walks that failed. */
	uint64_t stale, failed;
};

struct core {
	struct machine own;
	uint64_t root, roots[MOST_ASIDS], used[MOST_ASIDS];
	unsigned int asid;
	uint64_t clock;
};

struct model {
	struct machine machine;
	unsigned int cores, levels;
	struct core *core;
	/* Lines of page tables in the last level, and lines of data that they have thrown out. */
	uint64_t table_lines;
	struct array gone;
	uint64_t (*read_entry)(void *context, uint64_t address, bool *failed);
	void *context;
};

/* No address space: what the kernel maps for all of them. */
#define GLOBAL_ASID (MOST_ASIDS + 1)

static void *model_alloc(size_t count, size_t size)
{
	void *memory = calloc(count, size);

	if (!memory) {
		fputs("page-walks: out of memory\n", stderr);
		abort();
	}
	return memory;
}

static void array_init(struct array *array, uint64_t sets, uint64_t ways)
{
	*array = (struct array){ .sets = sets, .ways = ways };
	if (!sets)
		return;
	array->keys = model_alloc(sets * ways, sizeof(uint64_t));
	array->used = model_alloc(sets * ways, sizeof(uint64_t));
	array->values = model_alloc(sets * ways, sizeof(uint64_t));
}

/* Where a key is, or -1. `index` decides the set. */
static int64_t array_find(const struct array *array, uint64_t index, uint64_t key)
{
	uint64_t first;

	if (!array->sets)
		return -1;
	first = index % array->sets * array->ways;
	for (uint64_t i = first; i < first + array->ways; i++)
		if (array->keys[i] == key + 1)
			return i;
	return -1;
}

static bool array_get(struct array *array, uint64_t index, uint64_t key, uint64_t *value)
{
	int64_t at = array_find(array, index, key);

	if (at < 0)
		return false;
	array->used[at] = ++array->clock;
	*value = array->values[at];
	return true;
}

/* Put a key in, in place of the one that was used least recently, which is returned as key + 1. */
static uint64_t array_put(struct array *array, uint64_t index, uint64_t key, uint64_t value,
			  uint64_t *old_value)
{
	uint64_t first, at, old;

	*old_value = 0;
	if (!array->sets)
		return 0;
	first = index % array->sets * array->ways;
	at = first;
	for (uint64_t i = first; i < first + array->ways; i++) {
		if (array->keys[i] == key + 1) {
			at = i;
			break;
		}
		if (array->used[i] < array->used[at])
			at = i;
	}
	old = array->keys[at] == key + 1 ? 0 : array->keys[at];
	*old_value = array->values[at];
	array->keys[at] = key + 1;
	array->values[at] = value;
	array->used[at] = ++array->clock;
	return old;
}

static void array_drop(struct array *array, uint64_t index, uint64_t key)
{
	int64_t at = array_find(array, index, key);

	if (at >= 0)
		array->keys[at] = array->used[at] = 0;
}

/* A key of what is translated: which address space, which page. */
static uint64_t page_key(unsigned int asid, unsigned int shift, uint64_t address)
{
	return (uint64_t)asid << 52 | (uint64_t)(shift / LEVEL_BITS) << 48 |
	       (address & 0x0000ffffffffffffUL) >> shift;
}

static unsigned int key_asid(uint64_t key)
{
	return key >> 52;
}

static void array_drop_asid(struct array *array, unsigned int asid, bool all)
{
	for (uint64_t i = 0; i < array->sets * array->ways; i++)
		if (array->keys[i] && (all || key_asid(array->keys[i] - 1) == asid))
			array->keys[i] = array->used[i] = 0;
}

static void own_arrays(struct machine *own, const struct machine *like)
{
	for (int i = 0; i < 2; i++) {
		array_init(&own->l1[i], like->l1[i].sets, like->l1[i].ways);
		array_init(&own->l2[i], like->l2[i].sets, like->l2[i].ways);
	}
	for (int i = 0; i < MOST_LEVELS; i++)
		array_init(&own->paging[i], like->paging[i].sets, like->paging[i].ways);
	array_init(&own->l1d, like->l1d.sets, like->l1d.ways);
	array_init(&own->l2d, like->l2d.sets, like->l2d.ways);
}

/* `levels` of page tables are read by `read_entry`, from physical addresses. */
static void model_init(struct model *model, const struct machine *machine, unsigned int cores,
		       unsigned int levels,
		       uint64_t (*read_entry)(void *context, uint64_t address, bool *failed),
		       void *context)
{
	*model = (struct model){ .machine = *machine,
				 .cores = cores,
				 .levels = levels,
				 .read_entry = read_entry,
				 .context = context };
	model->core = model_alloc(cores, sizeof(*model->core));
	for (unsigned int i = 0; i < cores; i++)
		own_arrays(&model->core[i].own, machine);
	array_init(&model->machine.llc, machine->llc.sets, machine->llc.ways);
	/* Lines that page tables threw out, as many as there are in the last level. */
	array_init(&model->gone, machine->llc.sets, machine->llc.ways);
}

/* What serves a reference to a line of memory, which is in all caches afterwards. */
static enum served reference(struct model *model, struct core *core, uint64_t address, bool table,
			     struct counts *counts)
{
	uint64_t line = address >> LINE_SHIFT, kind, old, old_kind, ignored;
	struct array *llc = &model->machine.llc;
	enum served served = BY_L1;

	if (array_get(&core->own.l1d, line, line, &kind))
		return served;
	served = BY_L2;
	if (!array_get(&core->own.l2d, line, line, &kind)) {
		served = BY_LLC;
		if (!array_get(llc, line, line, &kind)) {
			served = BY_MEMORY;
			old = array_put(llc, line, line, table, &old_kind);
			model->table_lines += table;
			if (old && old_kind)
				model->table_lines--;
			if (table && old && !old_kind)
				array_put(&model->gone, old - 1, old - 1, 0, &ignored);
			if (!table && array_find(&model->gone, line, line) >= 0) {
				counts->displaced++;
				array_drop(&model->gone, line, line);
			}
		}
		array_put(&core->own.l2d, line, line, table, &ignored);
	}
	array_put(&core->own.l1d, line, line, table, &ignored);
	return served;
}

static unsigned int shift_of(unsigned int level)
{
	return SMALL_SHIFT + level * LEVEL_BITS;
}

static unsigned int asid_of(const struct core *core, uint64_t address)
{
	return address >> 63 ? GLOBAL_ASID : core->asid;
}

/* The array of a TLB for pages of a size; pages of 1 GiB are kept as those of 2 MiB. */
static struct array *tlb_of(struct array tlb[2], unsigned int shift)
{
	return shift > SMALL_SHIFT && tlb[1].sets ? &tlb[1] : &tlb[0];
}

static void tlb_put(struct array tlb[2], unsigned int asid, unsigned int shift, uint64_t address,
		    uint64_t frame)
{
	uint64_t key = page_key(asid, shift, address), ignored;

	array_put(tlb_of(tlb, shift), address >> shift, key, frame, &ignored);
}

/* The physical address by a TLB, and the size of its page; 0 if it does not know. */
static unsigned int tlb_get(struct array tlb[2], unsigned int asid, uint64_t address,
			    uint64_t *physical)
{
	for (unsigned int level = PTE; level <= PMD; level++) {
		unsigned int shift = shift_of(level);
		uint64_t frame;

		if (array_get(tlb_of(tlb, shift), address >> shift, page_key(asid, shift, address),
			      &frame)) {
			*physical = frame | (address & ((1UL << shift) - 1));
			return shift;
		}
	}
	return 0;
}

static void tlb_drop(struct array tlb[2], unsigned int asid, uint64_t address)
{
	for (unsigned int level = PTE; level <= PMD; level++) {
		unsigned int shift = shift_of(level);

		array_drop(tlb_of(tlb, shift), address >> shift, page_key(asid, shift, address));
	}
}

/* Walk the page tables from where the paging-structure caches lead to. False: not mapped. */
static bool walk(struct model *model, struct core *core, uint64_t address, struct counts *counts,
		 uint64_t *physical, unsigned int *page_shift)
{
	unsigned int asid = asid_of(core, address), level = model->levels - 1;
	uint64_t table = core->root, entry, ignored;
	bool failed = false;

	counts->walks++;
	/* The cache that leads furthest down. An entry to a table of `below` covers its whole range. */
	for (unsigned int below = PTE; below < level; below++) {
		unsigned int shift = shift_of(below + 1);

		if (array_get(&core->own.paging[below], address >> shift,
			      page_key(asid, shift, address), &table)) {
			level = below;
			break;
		}
	}
	for (;; level--) {
		unsigned int shift = shift_of(level);
		uint64_t at = table + (address >> shift & 511) * 8;

		counts->references[level][reference(model, core, at, true, counts)]++;
		entry = model->read_entry(model->context, at, &failed);
		if (failed || !(entry & ENTRY_PRESENT)) {
			counts->failed++;
			return false;
		}
		if (level == PTE || (entry & ENTRY_LEAF)) {
			/* A page of 1 GiB is cached by pieces of 2 MiB. */
			uint64_t frame = entry & ENTRY_FRAME & ~((1UL << shift) - 1);

			*physical = frame | (address & ((1UL << shift) - 1));
			*page_shift = shift > shift_of(PMD) ? shift_of(PMD) : shift;
			return true;
		}
		table = entry & ENTRY_FRAME;
		array_put(&core->own.paging[level - 1], address >> shift,
			  page_key(asid, shift, address), table, &ignored);
	}
}

/* A load or store of a processor. `physical` is where it really went. */
static void model_access(struct model *model, unsigned int index, uint64_t address,
			 uint64_t physical, struct counts *counts)
{
	struct core *core = &model->core[index];
	unsigned int asid = asid_of(core, address), shift;
	uint64_t found = 0, frame;

	counts->accesses++;
	shift = tlb_get(core->own.l1, asid, address, &found);
	if (shift && found == physical) {
		counts->translated[0]++;
		goto data;
	}
	if (!shift) {
		shift = tlb_get(core->own.l2, asid, address, &found);
		if (shift && found == physical) {
			counts->translated[1]++;
			goto fill;
		}
	}
	if (shift) {
		counts->stale++;
		tlb_drop(core->own.l1, asid, address);
		tlb_drop(core->own.l2, asid, address);
		for (int i = 0; i < MOST_LEVELS; i++)
			array_drop_asid(&core->own.paging[i], asid, false);
	}
	if (!walk(model, core, address, counts, &found, &shift))
		goto data;
	if (found != physical)
		counts->failed++;
	frame = found & ~((1UL << shift) - 1);
	tlb_put(core->own.l2, asid, shift, address, frame);
fill:
	frame = found & ~((1UL << shift) - 1);
	tlb_put(core->own.l1, asid, shift, address, frame);
data:
	counts->data[reference(model, core, physical, false, counts)]++;
}

static void flush_asid(struct core *core, unsigned int asid, bool all)
{
	for (int i = 0; i < 2; i++) {
		array_drop_asid(&core->own.l1[i], asid, all);
		array_drop_asid(&core->own.l2[i], asid, all);
	}
	for (int i = 0; i < MOST_LEVELS; i++)
		array_drop_asid(&core->own.paging[i], asid, all);
}

/* INVLPG: the page, and all that the paging-structure caches have of the address space. */
static void model_invalidate(struct model *model, unsigned int index, uint64_t address)
{
	struct core *core = &model->core[index];
	unsigned int asid = asid_of(core, address);

	tlb_drop(core->own.l1, asid, address);
	tlb_drop(core->own.l2, asid, address);
	for (int i = 0; i < MOST_LEVELS; i++) {
		array_drop_asid(&core->own.paging[i], core->asid, false);
		array_drop_asid(&core->own.paging[i], GLOBAL_ASID, false);
	}
}

/* A write to CR4 that changes PGE: everything. */
static void model_flush(struct model *model, unsigned int index)
{
	flush_asid(&model->core[index], 0, true);
}

/*
 * A write to CR3. TCG has no PCIDs, so its guests flush with every switch. A machine with `asids`
 * keeps the translations of so many address spaces, as Linux does with PCIDs: a write of the root
 * that is there already flushes, one of another root switches.
 */
static void model_switch(struct model *model, unsigned int index, uint64_t cr3)
{
	struct core *core = &model->core[index];
	unsigned int asids = model->machine.asids, oldest = 0;
	uint64_t root = cr3 & ENTRY_FRAME;

	core->clock++;
	if (!asids || root == core->root) {
		flush_asid(core, core->asid, false);
		core->root = root;
		if (asids) {
			core->roots[core->asid] = root;
			core->used[core->asid] = core->clock;
		}
		return;
	}
	core->root = root;
	for (unsigned int i = 0; i < asids; i++) {
		if (core->roots[i] == root) {
			core->asid = i;
			core->used[i] = core->clock;
			return;
		}
		if (core->used[i] < core->used[oldest])
			oldest = i;
	}
	core->asid = oldest;
	core->roots[oldest] = root;
	core->used[oldest] = core->clock;
	flush_asid(core, oldest, false);
}

static bool parse_array(struct array *array, const char *text)
{
	unsigned long sets, ways;

	if (sscanf(text, "%lux%lu", &sets, &ways) != 2 || (sets && !ways))
		return false;
	array->sets = sets;
	array->ways = ways;
	return true;
}

/* NAME:KEY=SETSxWAYS:...:asids=N, as the driver writes it. */
static bool parse_machine(struct machine *machine, char *text)
{
	struct {
		const char *key;
		struct array *array;
	} arrays[] = {
		{ "l1-4k", &machine->l1[0] },
		{ "l1-2m", &machine->l1[1] },
		{ "l2-4k", &machine->l2[0] },
		{ "l2-2m", &machine->l2[1] },
		{ "pde", &machine->paging[PTE] },
		{ "pdpte", &machine->paging[PMD] },
		{ "pml4e", &machine->paging[PUD] },
		{ "l1d", &machine->l1d },
		{ "l2", &machine->l2d },
		{ "llc", &machine->llc },
	};
	char *save, *word = strtok_r(text, ":", &save);

	memset(machine, 0, sizeof(*machine));
	if (!word || strlen(word) >= sizeof(machine->name))
		return false;
	strcpy(machine->name, word);
	while ((word = strtok_r(NULL, ":", &save))) {
		char *value = strchr(word, '=');
		bool known = false;

		if (!value)
			return false;
		*value++ = 0;
		if (!strcmp(word, "asids")) {
			machine->asids = atoi(value);
			known = machine->asids <= MOST_ASIDS;
		}
		for (size_t i = 0; i < sizeof(arrays) / sizeof(arrays[0]); i++)
			if (!strcmp(word, arrays[i].key))
				known = parse_array(arrays[i].array, value);
		if (!known)
			return false;
	}
	return machine->l1[0].sets && machine->l2[0].sets && machine->llc.sets;
}

#endif
