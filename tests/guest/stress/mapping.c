/* SPDX-License-Identifier: GPL-2.0 */
#include "mapping.h"
#include "actor.h"
#include "../lib/observe.h"
#include "../lib/util.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#define LINGER_MS 20000 /* no page fault of another process takes longer */

uint64_t draw(uint64_t *random, uint64_t limit)
{
	/* xorshift64*: the state must not be zero. */
	*random ^= *random >> 12;
	*random ^= *random << 25;
	*random ^= *random >> 27;
	return (*random * 0x2545F4914F6CDD1DULL >> 32) % limit;
}

void mappings_prepare(struct actor *a)
{
	a->mapping_count = arena->truth.files * KINDS;
	for (int i = 0; i < a->mapping_count; i++) {
		struct mapping *m = &a->mappings[i];

		m->file = i / KINDS;
		m->private = i % KINDS == KINDS - 1;
		/* The last mapping of each file has a second place that cannot share. */
		m->address[0] = 0x200000000000ULL + i * 16 * GIB;
		m->address[1] = m->address[0] + 8 * GIB + (i % KINDS ? 4 * UNIT : 0);
	}
}

void change_begins(struct actor *a)
{
	atomic_fetch_add(&a->changes, 1);
}

void change_ends(struct actor *a)
{
	atomic_fetch_add(&a->changes, 1);
}

bool spot_in(int spot, struct range range)
{
	uint64_t offset = spot_offset(spot);

	return offset >= range.start && offset < range.start + range.length;
}

struct range draw_range(uint64_t *random)
{
	static const struct range ranges[] = {
		{ 0, FILE_BYTES },
		{ 0, FILE_BYTES },
		{ 0, GIB },
		{ GIB, GIB },
		{ GIB / 2, GIB },
		{ UNIT, FILE_BYTES - UNIT },
		{ GIB - UNIT, 2 * UNIT },
		{ 0, UNIT },
		{ UNIT, 2 * UNIT },
		{ 510 * UNIT, 4 * UNIT },
	};
	int spot;

	if (draw(random, 3))
		return ranges[draw(random, sizeof(ranges) / sizeof(*ranges))];
	spot = draw(random, SPOTS);
	return (struct range){ spot_offset(spot), PAGE };
}

static __thread sigjmp_buf escape;
static __thread volatile sig_atomic_t guarded, caught;

static void on_signal(int number)
{
	if (!guarded) {
		/* Not in an access: a bug of this program or worse. */
		fail(-1, "signal %d outside an access, process %d", number, getpid());
		_exit(1);
	}
	caught = number;
	siglongjmp(escape, 1);
}

void catch_signals(void)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_NODEFER };

	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
}

__attribute__((noinline)) int try_load(uint64_t address, uint64_t *word)
{
	if (sigsetjmp(escape, 0)) {
		guarded = 0;
		return caught;
	}
	guarded = 1;
	*word = *(volatile uint64_t *)address;
	guarded = 0;
	return 0;
}

__attribute__((noinline)) int try_store(uint64_t address, uint64_t word)
{
	if (sigsetjmp(escape, 0)) {
		guarded = 0;
		return caught;
	}
	guarded = 1;
	*(volatile uint64_t *)address = word;
	guarded = 0;
	return 0;
}

/* The signal an access has to meet; -1 when truncation makes either right. */
static int due(const struct file_truth *f, int spot, struct expectation before, enum access access,
	       enum access needed)
{
	if (access < needed)
		return SIGSEGV;
	if (!calm_still(f, before.calm))
		return -1;
	return spot_offset(spot) < before.size ? 0 : SIGBUS;
}

static bool undisturbed(const struct actor *a, uint32_t changes)
{
	return !(changes & 1) && atomic_load(&a->changes) == changes;
}

static const char *judge_private(struct actor *a, struct mapping *m, int spot,
				 const struct view *view, uint64_t word, struct expectation before,
				 uint32_t *seen)
{
	const struct file_truth *f = &arena->truth.file[m->file];

	if (!is_private_word_of(word, a->process, spot)) {
		if (view->copy && calm_still(f, view->copied))
			return "a private copy is gone";
		return judge(&arena->truth, m->file, spot, word, before, BY_INSTRUCTION, seen);
	}
	if (!view->copy)
		return "a private copy that was given up";
	return word == view->copy ? NULL : "a private copy has changed";
}

/*
 * What a complaint needs to tell a stale TLB from a stale entry, and either from a moment that is
 * over: what the page table maps there, the word now and in a second, and what the file holds.
 */
static const char *circumstances(const struct file_truth *f, int spot, uint64_t address)
{
	static __thread char text[200];
	uint64_t entry = pagemap_entry(getpid(), address), now = 0, later = 0, held = 0;
	uint64_t pfn = entry & PM_PRESENT ? PM_PFN(entry) : 0;

	try_load(address, &now);
	if (pread(f->fd, &held, sizeof(held), spot_offset(spot)) < 0)
		held = -errno;
	usleep(1000000);
	try_load(address, &later);
	snprintf(text, sizeof(text), "frame %#llx%s, now %#llx, later %#llx, in the file %#llx",
		 (unsigned long long)pfn, pfn && is_zero_page(pfn) ? " (a zero page)" : "",
		 (unsigned long long)now, (unsigned long long)later, (unsigned long long)held);
	return text;
}

static const char *judge_load(struct actor *a, struct mapping *m, int spot, const struct view *view,
			      uint64_t word, struct expectation before, uint32_t *seen)
{
	return m->private ? judge_private(a, m, spot, view, word, before, seen) :
			    judge(&arena->truth, m->file, spot, word, before, BY_INSTRUCTION, seen);
}

/*
 * Load until the word is right, or nothing can be said of it any more, but not
 * for ever: then it is a failure.
 */
static bool stays(struct actor *a, struct mapping *m, int spot, const struct view *view,
		  uint32_t changes, uint32_t *seen)
{
	const struct file_truth *f = &arena->truth.file[m->file];
	uint64_t address = m->address[view->place] + spot_offset(spot), word;
	int64_t since = now_ms(), lasted = 0;

	for (; lasted < LINGER_MS; lasted = now_ms() - since) {
		struct expectation before = expect_before(f, spot);

		if (try_load(address, &word) || !undisturbed(a, changes) ||
		    !judge_load(a, m, spot, view, word, before, seen)) {
			atomic_fetch_add(&arena->lingered, 1);
			if ((uint64_t)lasted > atomic_load(&arena->lingered_ms))
				atomic_store(&arena->lingered_ms, lasted);
			return false;
		}
		usleep(1000);
	}
	return true;
}

void load_spot(struct actor *a, struct mapping *m, int spot, uint32_t seen[MAX_FILES][SPOTS])
{
	const struct file_truth *f = &arena->truth.file[m->file];
	uint32_t changes = atomic_load(&a->changes);
	struct view view = m->views[spot];
	struct expectation before = expect_before(f, spot);
	uint64_t address = m->address[view.place] + spot_offset(spot), word = 0;
	int number = try_load(address, &word);
	int right = due(f, spot, before, view.access, LOADS);
	const char *wrong;

	if (number && (right == -1 || number == right))
		return;
	/* A copy made while the file was being cut may be left behind the end. */
	if (!number && view.copy && right == SIGBUS)
		right = 0;
	if (number) {
		wrong = "the load gets a signal";
	} else if (right > 0) {
		wrong = "the load gets no signal";
	} else {
		wrong = judge_load(a, m, spot, &view, word, before, &seen[m->file][spot]);
		if (wrong && !view.copy && may_linger(word, before) &&
		    !stays(a, m, spot, &view, changes, &seen[m->file][spot]))
			return;
	}
	if (wrong && undisturbed(a, changes))
		fail(a->process,
		     "%s (signal %d, due %d, word %#llx, copy %#llx), file %d spot %d "
		     "%s mapping at %#llx, access %d, published %#llx, reserved %u, calm %d %u, "
		     "destructions now %u; %s",
		     wrong, number, right, (unsigned long long)word, (unsigned long long)view.copy,
		     m->file, spot, m->private ? "private" : "shared", (unsigned long long)address,
		     view.access, (unsigned long long)before.published, f->spots[spot].reserved,
		     before.calm.calm, before.calm.destructions, calm_now(f).destructions,
		     circumstances(f, spot, address));
}

void pin_spot(struct actor *a, struct mapping *m, int spot, off_t place,
	      uint32_t seen[MAX_FILES][SPOTS])
{
	uint64_t block[PAGE / sizeof(uint64_t)] __attribute__((aligned(PAGE)));
	struct expectation before = expect_before(&arena->truth.file[m->file], spot);
	uint32_t changes = atomic_load(&a->changes);
	struct view view = m->views[spot];
	uint64_t address = m->address[view.place] + spot_offset(spot);
	const char *wrong;

	if (m->private || view.access < LOADS)
		return;
	if (pwrite(a->raw_fd, (void *)address, PAGE, place) != (ssize_t)PAGE ||
	    pread(a->raw_fd, block, PAGE, place) != (ssize_t)PAGE)
		return;
	wrong = judge(&arena->truth, m->file, spot, block[0], before, BY_COPY,
		      &seen[m->file][spot]);
	if (wrong && !may_linger(block[0], before) &&
	    (undisturbed(a, changes) || !belongs_there(m->file, spot, block[0])))
		fail(a->process, "O_DIRECT: %s, file %d spot %d word %#llx", wrong, m->file, spot,
		     (unsigned long long)block[0]);
}

static void store_outcome(struct actor *a, struct mapping *m, int spot, struct view view,
			  struct expectation before, uint32_t changes, int number)
{
	const struct file_truth *f = &arena->truth.file[m->file];
	int right = due(f, spot, before, view.access, STORES);

	if (number == right || right == -1 || !undisturbed(a, changes))
		return;
	if (!number && view.copy && right == SIGBUS)
		return;
	fail(a->process, "a store gets signal %d and not %d, file %d spot %d %s mapping, access %d",
	     number, right, m->file, spot, m->private ? "private" : "shared", view.access);
}

static void store_shared(struct actor *a, struct mapping *m, int spot)
{
	struct file_truth *f = &arena->truth.file[m->file];
	struct spot *s = &f->spots[spot];
	uint32_t changes = atomic_load(&a->changes), sequence;
	struct view view = m->views[spot];
	struct expectation before;
	int number;

	/* Only one thread of the owner at a time, or numbers would go down. */
	if (spot_owner(&arena->truth, m->file, spot) != a->process || atomic_exchange(&s->busy, 1))
		return;
	before = expect_before(f, spot);
	sequence = store_reserve(s);
	number = try_store(m->address[view.place] + spot_offset(spot),
			   shared_word(m->file, spot, sequence));
	if (!number)
		store_publish(f, spot, sequence, before.calm);
	atomic_store(&s->busy, 0);
	store_outcome(a, m, spot, view, before, changes, number);
}

/* Only the main thread: it alone knows which copies there are. */
static void store_private(struct actor *a, struct mapping *m, int spot)
{
	const struct file_truth *f = &arena->truth.file[m->file];
	struct view *view = &m->views[spot];
	struct expectation before = expect_before(f, spot);
	uint64_t word = private_word(a->process, spot, ++a->private_sequence);
	struct view was = *view;
	int number;

	change_begins(a);
	number = try_store(m->address[view->place] + spot_offset(spot), word);
	if (!number) {
		view->copy = word;
		view->copied = before.calm;
	}
	change_ends(a);
	store_outcome(a, m, spot, was, before, atomic_load(&a->changes), number);
}

void store_spot(struct actor *a, struct mapping *m, int spot)
{
	if (m->private)
		store_private(a, m, spot);
	else
		store_shared(a, m, spot);
}
