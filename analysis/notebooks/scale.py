# ---
# jupyter:
#   experiment: [scale, alignment]
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Does it hold for ten thousand processes, and do programs get to share at all?
#
# Counts of pages, read from `/proc/meminfo`, and of instructions (QEMU's `-icount`): both are valid
# under emulation and repeat exactly (see `docs/measurement-validity.md`).

# %% tags=["parameters"]
run_path = None  # the newest runs, unless analysis.render says which

# %%
from collections.abc import Callable

import pandas as pd
from IPython.display import Markdown, display

from analysis import plots, stats, tidy
from analysis.load import load_runs
from driver.intervals import rate_interval
from driver.text import binary

plots.use_style()
runs = load_runs(["scale", "alignment"], run_path)
PAGE = 4096
OWN, SHARED = plots.VERMILLION, plots.BLUE
display(
    Markdown(
        "\n".join(
            f"- `{run.name}`: {len(run.finished)} of {len(run.trials)} trials, "
            f"accelerator `{run.manifest.accelerator}`, counts {run.manifest.valid['counts']}"
            for run in runs.values()
        )
    )
)

# %% [markdown]
# ## Page tables of up to ten thousand processes
# Each process touches one page in every GiB of its mapping, by 2 MiB entries: one page of PMDs per
# GiB and process, unless it is shared.

# %%
run = runs["scale"]
growth = tidy.change(run, "meminfo", "PageTables", since="mapped", until="touched")
growth = growth.rename(columns={"change": "bytes"}).sort_values("processes")
sizes = sorted(set(growth["gib"]))
figure, axes = plots.figure(len(sizes))


def points(tables: str, gib: int, hollow: bool = False) -> plots.Points:
    rows = growth.query("tables == @tables and gib == @gib")
    return plots.Points(tables, list(rows["processes"]), list(rows["bytes"]), "o", hollow)


def level(gib: int) -> Callable[[float], float]:
    return lambda _processes: gib * PAGE


def rising(gib: int) -> Callable[[float], float]:
    return lambda processes: processes * gib * PAGE


for axis, gib in zip(axes, sizes, strict=True):
    plots.growth_panel(
        axis,
        [
            plots.PlotSeries(
                "not shared",
                OWN,
                rising(gib),
                [points("own", gib), points("baseline", gib, hollow=True)],
            ),
            plots.PlotSeries("shared", SHARED, level(gib), [points("shared", gib)]),
        ],
        title=f"{gib} GiB mapped by each",
        across="processes",
    )
axes[0].set_ylabel("page tables for the range")
figure.supxlabel(
    "lines: theory    dots: measured, patched kernel    rings: measured, unpatched kernel",
    fontsize=9.5,
    color=plots.GREY,
)
plots.picture(
    figure,
    alt="Page tables against the number of processes, both axes logarithmic: a rising line without "
    "sharing and a level one with it, up to ten thousand processes.",
)

# %%
growth["per_gib"] = growth["bytes"] / growth["gib"]
lines = stats.fit_lines(growth, "processes", "per_gib", by=["tables"])
used = tidy.at_phase(run, "meminfo", "MemTotal", "touched")
used["value"] -= tidy.at_phase(run, "meminfo", "MemFree", "touched")["value"]
used["other"] = used["value"] - growth["bytes"]
# Small runs have a guest with less memory, which takes less of it for itself.
used = used.query("tables != 'baseline'")
large = used.query("processes >= 1000")
if large["processes"].nunique() < 2:
    large = used
other = stats.fit_lines(large, "processes", "other", by=["tables", "gib"])
touch = tidy.at_phase(run, "value", "touch", "touched")
each = stats.fit_lines(touch, "processes", "value", by=["tables", "gib"])
table = pd.DataFrame(
    [
        {
            "page tables": tables,
            "GiB mapped": gib,
            "tables for it, per process": binary(lines[(tables,)].slope * int(str(gib))),
            "other memory, per process": binary(other[(tables, gib)].slope)
            if (tables, gib) in other
            else "",
            "instructions to touch it, per process": f"{line.slope:,.0f}",
        }
        for (tables, gib), line in each.items()
    ]
).sort_values(["GiB mapped", "page tables"])
table.style.hide(axis="index")

# %% [markdown]
# ## Projected to Larry Bassel's case
# 10,000 processes map 6 TiB, by 2 MiB entries.

# %%
own, shared = lines[("own",)], lines[("shared",)]
gib = 6 * 1024
error = max(line.error or 0.0 for line in (own, shared)) * 10_000 * gib
most = int(growth["processes"].max())
display(
    Markdown(
        f"From {own.points} points of up to {most:,} processes: {binary(own.at(10_000) * gib, 4)} "
        f"without sharing, {binary(shared.at(10_000) * gib, 4)} with it (standard error of either "
        f"{binary(error)}; the worst of all points is "
        f"{binary(max(own.worst, shared.worst))} off its line)."
    )
)

# %% [markdown]
# ## Where mappings are placed that ask for no address
# Each program is started 200 times. It can share if address and file offset agree modulo 1 GiB.

# %%
run = runs["alignment"]
PROGRAMS = {
    "one-gib": "1 GiB from the start",
    "whole-file": "2 GiB, the whole file",
    "window": "1.5 GiB, from 512 MiB on",
    "private": "2 GiB, private, read-only",
}
ARMS = [
    ("baseline", "off", OWN, "unpatched"),
    ("patched", "off", plots.ORANGE, "sharing off"),
    ("patched", "on", SHARED, "sharing on"),
]
aligned = tidy.at_phase(run, "value", "aligned", "landed")
starts = tidy.at_phase(run, "value", "starts", "landed")["value"]
aligned["starts"] = starts
programs = [name for name in PROGRAMS if name in set(aligned["program"])]
figure, axes = plots.figure(1, width=9.5, height=1.4 + 0.75 * len(programs))
axis = axes[0]
for height, program in enumerate(reversed(programs)):
    for place, (kernel, sharing, colour, name) in enumerate(ARMS):
        row = aligned.query("program == @program and kernel == @kernel and sharing == @sharing")
        found = rate_interval(int(row["value"].iloc[0]), int(row["starts"].iloc[0]))
        at = height + 0.24 - 0.24 * place
        axis.hlines(at, 100 * found.low, 100 * found.high, color=colour, linewidth=2)
        axis.plot(100 * found.estimate, at, "o", color=colour, markersize=6)
        right = found.estimate < 0.5
        axis.annotate(
            f"{name}: {row['value'].iloc[0]:,.0f} of {found.samples}",
            (100 * (found.high if right else found.low), at),
            xytext=(7 if right else -7, 0),
            textcoords="offset points",
            ha="left" if right else "right",
            va="center",
            fontsize=9,
            color=colour,
        )
axis.axvline(100 / 512, color=plots.GREY, linewidth=1, linestyle=(0, (1, 2)))
axis.annotate(
    "chance: 1 in 512",
    (100 / 512, 1),
    xycoords=("data", "axes fraction"),
    xytext=(4, 2),
    textcoords="offset points",
    color=plots.GREY,
    fontsize=9,
)
axis.set_yticks(range(len(programs)), [PROGRAMS[name] for name in reversed(programs)])
axis.grid(visible=False, axis="y")
axis.set_xlim(-2, 103)
axis.set_ylim(-0.5, len(programs) - 0.4)
axis.set_title("Starts that can share a page table", pad=22)
axis.set_xlabel("% of starts, with the 95 % interval")
plots.picture(
    figure,
    alt="Share of starts of four programs that land where they can share: about none on the "
    "unpatched kernel and with sharing off, all with sharing on.",
)

# %%
places = tidy.at_phase(run, "value", "places", "landed")
on = places.query("kernel == 'patched' and sharing == 'on'")["value"]
expected = 1024 * (1 - (1 - 1 / 1024) ** 200)
display(
    Markdown(
        f"With sharing on, 200 starts find {on.min():,.0f} to {on.max():,.0f} different addresses. "
        "mmap chooses among 2^28 pages of 4 KiB, which is 1,024 places at a multiple of 1 GiB; of "
        f"those, 200 starts should find {expected:,.0f}. So 10 bits of randomness are left."
    )
)
