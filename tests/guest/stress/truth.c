/* SPDX-License-Identifier: GPL-2.0 */
#include "truth.h"

#define SHARED_MAGIC  0x5AULL
#define PRIVATE_MAGIC 0xA5ULL

uint64_t spot_offset(int spot)
{
	/* The ends of tables, their middle, and the boundary between the two. */
	static const uint16_t units[SPOTS / SPOTS_PER_UNIT] = { 0,   1,	  2,   255, 256,
								510, 511, 512, 513, 1023 };
	static const uint16_t pages[SPOTS_PER_UNIT] = { 0, 3, 511 };

	return units[spot / SPOTS_PER_UNIT] * UNIT + pages[spot % SPOTS_PER_UNIT] * PAGE;
}

int spot_owner(const struct truth *truth, int file, int spot)
{
	return (file * SPOTS + spot) % truth->processes;
}

uint64_t shared_word(int file, int spot, uint32_t sequence)
{
	return SHARED_MAGIC << 56 | (uint64_t)file << 48 | (uint64_t)spot << 32 | sequence;
}

uint64_t private_word(int process, int spot, uint32_t sequence)
{
	return PRIVATE_MAGIC << 56 | (uint64_t)process << 48 | (uint64_t)spot << 32 | sequence;
}

uint32_t word_sequence(uint64_t word)
{
	return word;
}

bool belongs_there(int file, int spot, uint64_t word)
{
	return !word || word >> 32 == shared_word(file, spot, 0) >> 32;
}

bool is_private_word_of(uint64_t word, int process, int spot)
{
	return word >> 32 == private_word(process, spot, 0) >> 32;
}

struct calm calm_now(const struct file_truth *file)
{
	struct calm now = { .calm = true };

	/* No count goes down: if later the sum is the same, so are all of them. */
	for (int i = 0; i < MAX_PROCESSES; i++) {
		uint32_t destructions = atomic_load(&file->destructions[i]);

		now.destructions += destructions;
		now.calm &= destructions % 2 == 0;
	}
	return now;
}

bool calm_still(const struct file_truth *file, struct calm since)
{
	return since.calm && calm_now(file).destructions == since.destructions;
}

static void make_even(_Atomic uint32_t *count)
{
	uint32_t value = atomic_load(count);

	atomic_store(count, value + value % 2);
}

void destruction_begins(struct file_truth *file, int process)
{
	atomic_fetch_add(&file->destructions[process], 1);
}

void destruction_ends(struct file_truth *file, int process)
{
	make_even(&file->destructions[process]);
}

uint32_t store_reserve(struct spot *spot)
{
	return atomic_fetch_add(&spot->reserved, 1) + 1;
}

void copy_begins(struct spot *spot)
{
	atomic_fetch_add(&spot->copies, 1);
}

void copy_ends(struct spot *spot)
{
	make_even(&spot->copies);
}

void store_publish(struct file_truth *file, int spot, uint32_t sequence, struct calm before)
{
	if (calm_still(file, before))
		atomic_store(&file->spots[spot].published,
			     (uint64_t)sequence << 32 | before.destructions);
}

/* Stores by the kernel in the 2 MiB around a spot, and whether one is under way. */
static uint32_t copies_around(const struct file_truth *file, int spot, bool *copying)
{
	const struct spot *s = &file->spots[spot - spot % SPOTS_PER_UNIT];
	uint32_t sum = 0;

	*copying = false;
	for (int i = 0; i < SPOTS_PER_UNIT; i++) {
		uint32_t copies = atomic_load(&s[i].copies);

		sum += copies;
		*copying |= copies % 2;
	}
	return sum;
}

struct expectation expect_before(const struct file_truth *file, int spot)
{
	struct expectation before = { .calm = calm_now(file) };
	const struct spot *s = &file->spots[spot];

	before.published = atomic_load(&s->published);
	before.written = before.published >> 32 &&
			 atomic_load(&s->written) == before.published >> 32;
	before.busy = atomic_load(&s->busy);
	before.reserved = atomic_load(&s->reserved);
	before.copies = copies_around(file, spot, &before.copying);
	before.size = atomic_load(&file->size);
	return before;
}

/* May a load have met a store half way, or a mapping that is about to go? */
static bool disturbed(const struct file_truth *file, int spot, struct expectation before,
		      enum loaded how)
{
	bool copying;

	if (before.copying || copies_around(file, spot, &copying) != before.copies)
		return true;
	return how == BY_COPY &&
	       (before.busy || atomic_load(&file->spots[spot].reserved) != before.reserved);
}

const char *judge(const struct truth *truth, int file, int spot, uint64_t word,
		  struct expectation before, enum loaded how, uint32_t *seen)
{
	const struct file_truth *f = &truth->file[file];
	uint32_t sequence = word_sequence(word);
	bool bound = calm_still(f, before.calm) &&
		     (uint32_t)before.published == before.calm.destructions;

	if (disturbed(f, spot, before, how))
		return 0;
	if (!belongs_there(file, spot, word))
		return "the word belongs elsewhere";
	if (word && sequence > atomic_load(&f->spots[spot].reserved))
		return "nobody has stored this word";
	if (word && sequence < *seen)
		return "the word is older than one seen before";
	if (bound && sequence < before.published >> 32)
		return "the word is older than a store that was over";
	if (word)
		*seen = sequence;
	return 0;
}

bool may_linger(uint64_t word, struct expectation before)
{
	return !word && before.written;
}
