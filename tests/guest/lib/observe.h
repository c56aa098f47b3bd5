/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the kernel says about page tables, seen from outside the processes
 * that own them.  Shared by the semantic tests and the stress program.
 */
#ifndef OBSERVE_H
#define OBSERVE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Counters of /proc/vmstat kept by a kernel that shares page tables. */
struct tables {
	long create; /* pages of PMDs born shared */
	long attach; /* PUD entries pointed at one */
	long detach; /* PUD entries cleared */
	long free;   /* pages of PMDs given back */
};

/* Page-table memory, from two sources that do not know of each other. */
struct page_tables {
	long meminfo_kb;    /* PageTables of /proc/meminfo, after stat_refresh */
	long flagged_pages; /* pages with KPF_PGTABLE in /proc/kpageflags, or -1 */
};

/* Reads a whole file into a static buffer; NULL when it cannot be opened. */
const char *read_text(const char *path);

/* Writes @text to @path in one write(2); 0 or -errno. */
int write_text(const char *path, const char *text);

/* The number after @label at the start of a line of @path, or -1. */
long number_after(const char *path, const char *label);

/*
 * Objects by which the kernel knows shared tables; -1 where it keeps none, or
 * keeps them among others (boot with slab_nomerge).  What was freed a moment
 * ago is still one: look again.
 */
long table_objects_now(void);

bool sharing_known(void); /* the kernel has the counters and the switch */
bool sharing_on(void);	  /* ... and the switch is 1 */
struct tables tables_now(void);

/* Folds per-CPU deltas first.  @flags false leaves out /proc/kpageflags. */
struct page_tables page_tables_now(bool flags);

/* /proc/PID/pagemap entry of one address; 0 when it cannot be read. */
uint64_t pagemap_entry(pid_t pid, uint64_t address);
#define PM_PRESENT    (1ULL << 63)
#define PM_EXCLUSIVE  (1ULL << 56)
#define PM_SOFT_DIRTY (1ULL << 55)
#define PM_PFN(entry) ((entry) & ((1ULL << 55) - 1))

/* Is this frame one of the kernel's zero pages, by /proc/kpageflags? */
bool is_zero_page(uint64_t pfn);

/* Minor plus major faults a process has taken; -1 when it is gone. */
long faults_of(pid_t pid);

/*
 * What tracepoints say between the two: lines of text, each with "comm-pid" in it.  False where the
 * kernel has no such tracepoint, as all but the debug variant.
 */
bool trace_begin(const char *event); /* "tlb/tlb_flush"; may be called for several */
const char *trace_end(void);
/* Lines of @text that contain all of the words; the last one is NULL. */
int lines_with(const char *text, const char *const words[]);

/* A kB figure, or the text of VmFlags, of the vma that holds @address. */
long smaps_kb(pid_t pid, uint64_t address, const char *field);
bool smaps_flag(pid_t pid, uint64_t address, const char *two_letters);

#endif
