# ---
# jupyter:
#   experiment: pagetable-footprint
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # How much page-table memory does sharing save?
#
# N processes map the same 1 GiB-aligned range of a DAX file and touch all of it. Without sharing
# each has page tables of its own; with sharing their PUD entries point to one page of PMDs. Every
# number below was read from `/proc/meminfo` in a running kernel, and is a count of pages: it is
# valid under emulation (see `docs/measurement-validity.md`).

# %% tags=["parameters"]
run_path = None  # the newest run, unless analysis.render says which

# %%
import math
from collections.abc import Callable

import pandas as pd
from IPython.display import Markdown, display

from analysis import plots, stats, tidy
from analysis.load import find_run, load_run
from driver.text import binary

plots.use_style()
PAGE = 4096
EXPERIMENT = "pagetable-footprint"
run = load_run(run_path or find_run(EXPERIMENT), experiment=EXPERIMENT)
display(
    Markdown(
        f"Run `{run.name}`: {len(run.finished)} of {len(run.trials)} trials, "
        f"accelerator `{run.manifest.accelerator}`, "
        f"counts {run.manifest.valid['counts']}, time {run.manifest.valid['time']}."
    )
)

# %% [markdown]
# ## The answer
# What one more process adds is the slope of page-table memory per GiB against the number of
# processes.

# %%
growth = tidy.change(run, "meminfo", "PageTables", since="mapped", until="touched")
growth["per_gib"] = growth["change"] / growth["gib"]
growth["arm"] = growth["kernel"] + ", sharing " + growth["sharing"]
lines = stats.fit_lines(growth, "processes", "per_gib", by=["entry", "kernel", "sharing"])
theory_pages = {"2M": 1, "4K": 513}
SIZES = {"2M": "2 MiB", "4K": "4 KiB"}

pd.DataFrame(
    [
        {
            "entries": SIZES[str(entry)],
            "kernel": kernel,
            "sharing": sharing,
            "bytes per process and GiB": f"{line.slope:,.0f}",
            "in theory": f"{0 if sharing == 'on' else theory_pages[str(entry)] * PAGE:,}",
            "points": line.points,
            "worst distance from the line": binary(line.worst) if not line.exact else "0 B",
        }
        for (entry, kernel, sharing), line in lines.items()
    ]
).sort_values(["entries", "kernel", "sharing"]).style.hide(axis="index")

# %%
NAMES = {entry: f"{size} entries" for entry, size in SIZES.items()}
entries = [entry for entry in NAMES if entry in set(growth["entry"])]
figure, panels = plots.figure(len(entries))


def points(entry: str, kernel: str, sharing: str, hollow: bool = False) -> plots.Points:
    rows = growth.query("entry == @entry and kernel == @kernel and sharing == @sharing")
    return plots.Points(
        f"{kernel}, {sharing}", list(rows["processes"]), list(rows["per_gib"]), "o", hollow
    )


def level(one: int) -> Callable[[float], float]:
    return lambda _processes: one


def rising(one: int) -> Callable[[float], float]:
    return lambda processes: processes * one


for axes, entry in zip(panels, entries, strict=True):
    one = theory_pages[entry] * PAGE
    plots.growth_panel(
        axes,
        [
            plots.PlotSeries(
                "not shared",
                plots.VERMILLION,
                rising(one),
                [
                    points(entry, "patched", "off"),
                    points(entry, "baseline", "off", hollow=True),
                ],
            ),
            plots.PlotSeries("shared", plots.BLUE, level(one), [points(entry, "patched", "on")]),
        ],
        title=f"Mapped by {NAMES[entry]}",
        across="processes mapping the same range",
    )
panels[0].set_ylabel("page tables per GiB mapped")
figure.supxlabel(
    "lines: theory    dots: measured, patched kernel    rings: measured, unpatched kernel",
    fontsize=9.5,
    color=plots.GREY,
)
plots.picture(
    figure,
    alt="Page tables per GiB against the number of processes, both axes logarithmic: a rising "
    "line without sharing, a level one with it, for each size of entry.",
)

# %% [markdown]
# ## From how many processes on
# Page tables per GiB mapped. Saved is what the same kernel uses with sharing off, minus what it
# uses with sharing on. One process has nothing to share, and loses nothing either.

# %%
patched = growth[growth["kernel"] == "patched"]
table = patched.pivot_table(
    index=["entry", "processes"], columns="sharing", values="per_gib", aggfunc="median"
)
table = table.rename(index=SIZES, level="entry")
table["saved"] = table["off"] - table["on"]
shown = pd.DataFrame(
    {
        "not shared": table["off"].map(binary),
        "shared": table["on"].map(binary),
        "saved": table["saved"].map(binary),
        "saved, %": (100 * table["saved"] / table["off"]).map("{:.1f}".format),
    }
)
shown.index = shown.index.set_names(["entries", "processes"])
shown

# %% [markdown]
# ## Two examples from the 2019 thread, from the measured slopes
#
# Jérôme Glisse's: 10 processes map the same 1 GiB with 4 KiB entries; sharing saves 9 times 2 MB.
#
# Larry Bassel's: 10,000 processes map 6 TiB with 2 MiB entries; the pages of PMDs take 240 GB.

# %%
GIB = 1 << 30


def projection(entry: str, processes: int, gib: int) -> tuple[float, float, float | None]:
    """Bytes unshared and shared, and the standard error of their difference."""
    own, shared = (lines[(entry, "patched", arm)] for arm in ("off", "on"))
    unshared_total = own.at(processes) * gib
    shared_total = shared.at(processes) * gib
    # Points that all lie on a line leave nothing but the rounding of the arithmetic.
    errors = [0.0 if line.exact else line.error for line in (own, shared)]
    known = [error for error in errors if error is not None]
    if len(known) < len(errors):
        return unshared_total, shared_total, None
    return unshared_total, shared_total, processes * gib * math.hypot(*known)


def sentence(who: str, entry: str, processes: int, gib: int, said: str) -> str:
    unshared, shared, error = projection(entry, processes, gib)
    spread = f" (standard error {binary(error)})" if error else ""
    return (
        f"- **{who}** {processes:,} processes x {gib:,} GiB, {NAMES[entry]}: "
        f"{binary(unshared, 4)} unshared, {binary(shared, 4)} shared; "
        f"**saved {binary(unshared - shared, 4)}**{spread}. The thread said: {said}."
    )


display(
    Markdown(
        "\n".join(
            sentence(*example)
            for example in [
                ("Glisse:", "4K", 10, 1, "9 x 2 MB"),
                ("Bassel:", "2M", 10_000, 6 * 1024, "240 GB"),
            ]
            if (example[1], "patched", "on") in lines
        )
    )
)

# %% [markdown]
# These differ from the thread's figures in two ways. The page of PMDs adds 4 KiB to every 2 MiB of
# PTEs. And 6,144 GiB x 10,000 x 4 KiB is 234.4 GiB, which the thread rounded.
#
# ## Do the tables go away?
# After the last process has exited, `PageTables` must be what it was before the first started, and
# so must the count of pages that `/proc/kpageflags` marks as page tables.

# %%
left = tidy.change(run, "meminfo", "PageTables", since="before", until="gone")["change"]
audit = tidy.change(run, "kpageflags", "pgtable", since="before", until="gone")["change"]
display(
    Markdown(
        f"Left over in {len(left)} trials: {binary(left.abs().max())} by `/proc/meminfo`, "
        f"{audit.abs().max():,.0f} pages by `/proc/kpageflags` (the worst trial of each)."
    )
)
