# ---
# jupyter:
#   experiment: [fault-saving, lookup-cost, unshare-cost, reverse-unmap, disabled-cost]
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # What does sharing cost, and what does it save, in instructions?
#
# Unless another unit is named, numbers are counts of instructions that a guest executed under
# QEMU's `-icount`: path lengths through kernel and program, the same on every host and in every
# run.
# They are not times: QEMU models no caches, TLBs or memory (see `docs/measurement-validity.md`).
# Where something was done several times the median is shown; a timer interrupt that falls into a
# sample makes it longer than the others by a few thousand.

# %% tags=["parameters"]
run_path = None  # the newest runs, unless analysis.render says which

# %%
import pandas as pd
from IPython.display import Markdown, display
from matplotlib.figure import Figure

from analysis import charts, plots, tidy
from analysis.load import load_runs
from analysis.reply.finding import CROWDS, finding
from analysis.reply.wording import signed
from driver.text import decimal

plots.use_style()
EXPERIMENTS = ["fault-saving", "lookup-cost", "unshare-cost", "reverse-unmap", "disabled-cost"]
runs = load_runs(EXPERIMENTS, run_path)
NAMES = {"2M": "2 MiB entries", "4K": "4 KiB entries"}
OWN, SHARED = plots.VERMILLION, plots.BLUE
ARMS = [
    ("baseline", "off", OWN, True),
    ("patched", "off", OWN, False),
    ("patched", "on", SHARED, False),
]
display(
    Markdown(
        "\n".join(
            f"- `{run.name}`: {len(run.finished)} of {len(run.trials)} trials, "
            f"accelerator `{run.manifest.accelerator}`; instructions "
            f"{run.manifest.valid['instructions']}"
            for run in runs.values()
        )
    )
)


def legend(figure: Figure, text: str) -> None:
    figure.supxlabel(text, fontsize=9.5, color=plots.GREY)


def entries_of(frame: pd.DataFrame) -> list[str]:
    return [entry for entry in NAMES if entry in set(frame["entry"])]


# %% [markdown]
# ## What a later process saves
# Three processes map the same GiB one after the other, write to every entry, and stay.
# Without sharing each of them faults on every entry. With sharing the second one faults once; from
# then on it finds every entry in place.

# %%
ORDER = ["first", "second", "third"]
run = runs["fault-saving"]
touch = tidy.by_phase(run, "value", "touch").query("access == 'write' and phase in @ORDER")
faults = tidy.by_phase(run, "value", "minor-faults").query("access == 'write'")
per_fault = tidy.by_phase(run, "value", "access").query("access == 'write' and phase == 'first'")
entries = entries_of(touch)
figure, axes = plots.figure(len(entries), height=4.2)
panels = []
for axis, entry in zip(axes, entries, strict=True):
    panel = charts.Panel(axis, f"Mapped by {NAMES[entry]}", "process", log_x=False)
    own: list[float] = []  # the last arm without sharing: the patched kernel's
    for kernel, sharing, colour, hollow in ARMS:
        rows = touch.query("entry == @entry and kernel == @kernel and sharing == @sharing")
        if rows.empty:
            continue
        ys = [float(rows.loc[rows["phase"] == phase, "value"].iloc[0]) for phase in ORDER]
        name = (
            "" if hollow else f"{'shared' if sharing == 'on' else 'not shared'}\n{decimal(ys[-1])}"
        )
        panel.curve(name, colour, [1, 2, 3], ys, hollow=hollow)
        if sharing == "on":
            axis.annotate(
                f"{own[1] / ys[1]:,.0f}x fewer",
                (2, (own[1] * ys[1]) ** 0.5),
                ha="center",
                color=charts.INK,
            )
        own = ys
    panels.append(panel)
for panel in panels:
    panel.close()
    panel.axes.set_xticks([1, 2, 3], ORDER)
    panel.axes.set_xlim(0.8, 3.2)
axes[0].set_ylabel("instructions for touching 1 GiB")
legend(figure, "rings: unpatched kernel    dots: patched kernel, sharing off and on")
plots.picture(
    figure,
    alt="Instructions for touching one GiB by the first, second and third process: level without "
    "sharing; with it, the second process and later ones need less than a hundredth.",
)

# %%
table = per_fault.pivot_table(index=["entry"], columns=["kernel", "sharing"], values="value")
first = tidy.by_phase(run, "value", "first-access").query("access == 'write'")
attach = first.query("phase == 'second'").pivot_table(
    index="entry", columns=["kernel", "sharing"], values="value"
)
taken = faults.query("phase == 'second'").pivot_table(
    index="entry", columns=["kernel", "sharing"], values="value"
)
shown = pd.concat(
    {
        "a fault of the first process": table,
        "first access of the second process": attach,
        "faults of the second process": taken,
    }
)
shown.index = shown.index.set_names(["instructions, or faults", "entries"])
shown.map("{:,.0f}".format)

# %% [markdown]
# ## Does finding a table cost more than making one?
# The first access to a GiB by one more process, while another process has a number of mappings of
# the range. The table to find belongs to the mapping that a walk visits last. *Misaligned* mappings
# are at addresses where they cannot share, *untouched* ones have no table yet, and *read-only* ones
# share a table of their own. Without sharing, a table is made and its first entry filled.

# %%
run = runs["lookup-cost"]
cost = tidy.at_phase(run, "value", "first-access", "attached")
fill = tidy.at_phase(run, "value", "fill", "filled")
made = cost.query("finder == 'made'")["value"].median()
filled = fill.query("finder == 'made'")["value"].median()
figure, axes = plots.figure(1, width=11, height=4.8)
panel = charts.Panel(axes[0], "First access to a GiB", "mappings of the range in another process")
COLOURS = {
    "protection": plots.VERMILLION,
    "mixed": plots.ORANGE,
    "matching": plots.GREEN,
    "offset": plots.PURPLE,
}
for crowd, colour in COLOURS.items():
    rows = cost.query("finder == 'walk' and crowd == @crowd").sort_values("vmas")
    if rows.empty:
        continue
    xs, ys = list(rows["vmas"]), list(rows["value"])
    panel.curve(f"walk past {CROWDS[crowd]}: {decimal(ys[-1])}", colour, xs, ys)
rows = cost.query("finder == 'index' and crowd == 'matching'").sort_values("vmas")
panel.curve(
    f"index: {decimal(rows['value'].iloc[-1])}", SHARED, list(rows["vmas"]), list(rows["value"])
)
panel.level("without sharing", made)
panel.level("touching all of the GiB without sharing", filled)
panel.close()
axes[0].set_ylabel("instructions")
plots.picture(
    figure,
    alt="Instructions of the first access against the number of mappings: level by the index and "
    "below the cost of making a table, rising in proportion by a walk.",
)

# %%
lookup = finding(run)
lines = [
    f"- By the index: **{lookup.index_most:,.0f}** instructions, whatever the number and kind of "
    f"mappings. A first access that makes a table takes {lookup.made:,.0f}, filling the GiB "
    f"{lookup.filled:,.0f}.",
]
for walk in reversed(lookup.walks):
    lines.append(
        f"- By a walk past {walk.name}: {walk.per_mapping:,.0f} more for each. The walk costs "
        f"more than making a table from {lookup.costlier_than_making(walk):,.0f} on, and more than "
        f"filling the GiB from {lookup.costlier_than_filling(walk):,.0f} on."
    )
display(Markdown("\n".join(lines)))

# %% [markdown]
# ## What a process pays that detaches from a shared table
# One of 16 processes that have touched the GiB makes a call that changes its mapping, and then
# touches what it still maps. A call that changes a part costs nearly the same with sharing. What
# follows does not: the process has detached from the table and faults on everything again, as it
# would have done from the start without sharing.

# %%
run = runs["unshare-cost"]
LABELS = {
    "munmap-part": "munmap of 2 MiB",
    "map-fixed": "MAP_FIXED over 2 MiB",
    "mprotect": "mprotect of 2 MiB",
    "madvise": "MADV_DONTNEED of 2 MiB",
    "mremap": "mremap of all",
    "munmap": "munmap of all",
    "fork": "fork, and the child",
    "exec": "exec",
    "exit": "exit",
}
call = tidy.by_phase(run, "value", "call")
after = tidy.by_phase(run, "value", "refill")
sharers = max(number for number in set(call["sharers"]) if number <= 16)


def operation_costs(entry: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    keys = ["phase", "sharing"]
    chosen = "entry == @entry and sharers == @sharers and kernel == 'patched'"
    calls = call.query(chosen).set_index(keys)["value"]
    rest = after.query(chosen).set_index(keys)["value"]
    return calls.unstack("sharing"), (calls + rest).unstack("sharing")


entry = "2M"
calls, totals = operation_costs(entry)
figure, axes = plots.figure(2, height=4.4)
for axis, frame, title in (
    (axes[0], calls, "The call"),
    (axes[1], totals, "The call and touching the rest"),
):
    pairs = [
        charts.DotPair(label, float(frame["off"][phase]), float(frame["on"][phase]))
        for phase, label in LABELS.items()
        if phase in frame.index
    ]
    charts.pairs(axis, pairs, (OWN, SHARED), ("off", "on"), title=title, across="instructions")
    axis.margins(x=0.22)
legend(figure, f"{NAMES[entry]}, {sharers} processes share    off, on: vm.dax_share_page_tables")
plots.picture(
    figure,
    alt="Instructions of nine operations with sharing off and on: calls equal, leaving cheaper, "
    "and at least 100x more where a process unmaps a part and touches the rest.",
)

# %%
shoot = (
    tidy.by_phase(run, "value", "shootdowns")
    if (run.samples["metric"] == "shootdowns").any()
    else None
)
if shoot is not None:
    shoot["operation"] = shoot["phase"].map(LABELS)
    frame = shoot.pivot_table(
        index="operation", columns=["kernel", "sharing"], values="value", sort=False
    )
    display(Markdown("TLB shootdowns of one call, with threads on 3 more processors:"))
    display(frame.map("{:,.0f}".format))

# %% [markdown]
# ## What it costs to change a file that processes have mapped
# The walk visits every mapping in either case. With sharing, the first visit empties the table, and
# the others only have their TLBs flushed.

# %%
run = runs["reverse-unmap"]
CALLS = {
    "write-back": "fsync, all 512 entries dirty",
    "punch": "Punch a hole of 2 MiB",
    "truncate": "Truncate to nothing",
}
cost = tidy.by_phase(run, "value", "call").sort_values("sharers")
entries = entries_of(cost)
figure = plots.grid(len(entries), len(CALLS), height=3.1 * len(entries) + 0.4)
panels = []
for row, entry in enumerate(entries):
    for column, (phase, title) in enumerate(CALLS.items()):
        panel = charts.Panel(
            figure.axes[row * len(CALLS) + column],
            title if row == 0 else "",
            "processes" if row == len(entries) - 1 else "",
        )
        for kernel, sharing, colour, hollow in ARMS:
            rows = cost.query(
                "phase == @phase and entry == @entry and kernel == @kernel and sharing == @sharing"
            )
            ys = list(rows["value"])
            name = (
                ""
                if hollow
                else f"{'shared' if sharing == 'on' else 'not shared'} {decimal(ys[-1])}"
            )
            panel.curve(name, colour, list(rows["sharers"]), ys, hollow=hollow)
        panels.append(panel)
    figure.axes[row * len(CALLS)].set_ylabel(f"{NAMES[entry]}\ninstructions")
for panel in panels:
    panel.close()
legend(
    figure,
    "rings: unpatched kernel    dots: patched kernel, sharing off and on",
)
plots.picture(
    figure,
    alt="Instructions of write-back, hole punching and truncation "
    "against the number of processes, for both sizes of entry, with and without sharing.",
)


# %%
def summary(rows: pd.DataFrame) -> pd.Series:
    ordered = rows.sort_values("sharers")
    xs, ys = list(ordered["sharers"]), list(ordered["value"])
    return pd.Series({"with one": ys[0], "each further": (ys[-1] - ys[0]) / (xs[-1] - xs[0])})


parts = cost[cost["phase"].isin(CALLS)].groupby(["phase", "entry", "kernel", "sharing"])
per_call = parts[["sharers", "value"]].apply(summary).unstack(["kernel", "sharing"])
display(Markdown("Instructions with one process, and for each further one:"))
pd.DataFrame(per_call).map("{:,.0f}".format)

# %% [markdown]
# ## What the series costs where nothing is shared
# Operations on memory that cannot be shared, compared with the unpatched kernel. The size of the
# guest changes where the kernel's own data are, which can matter more than the series does. That is
# why the lines are long.

# %%
run = runs["disabled-cost"]
STEPS = {
    "fault": ("fault", "page fault"),
    "mmap": ("mmap", "mmap"),
    "mprotect": ("mprotect", "mprotect"),
    "munmap": ("munmap", "munmap"),
    "fork": ("fork-least", "fork"),
    "exit": ("exit-least", "exit"),
}
MEMORY = {
    "anonymous": ("anonymous", plots.GREEN),
    "page-cache": ("page cache", plots.ORANGE),
    "dax-2M": ("DAX, 2 MiB", plots.BLUE),
    "dax-4K": ("DAX, 4 KiB", plots.PURPLE),
}
SETTINGS = {"off": "Sharing never turned on", "on": "Sharing on, nothing to share"}
figure, axes = plots.figure(len(SETTINGS), height=5.4)
for axis, (setting, title) in zip(axes, SETTINGS.items(), strict=True):
    for height, (metric, name) in enumerate(reversed(STEPS.values())):
        cost = tidy.at_phase(run, "value", metric, "done")
        plain = cost.query("kernel == 'baseline'").set_index(["memory", "size"])["value"]
        patched = cost.query("kernel == 'patched' and sharing == @setting")
        found = patched.set_index(["memory", "size"])["value"]
        for place, (memory, (_, colour)) in enumerate(MEMORY.items()):
            if memory not in found.index:
                continue
            more = found[memory] - plain[memory]
            parts = 100 * more / plain[memory]
            at = height + 0.3 - 0.2 * place
            axis.plot([parts.min(), parts.max()], [at] * 2, color=colour, linewidth=1.4)
            axis.plot(parts.median(), at, "o", color=colour, markersize=5)
            # The first group, where no line is in the way, also names the kinds of memory.
            texts = [(0.99, "right", signed(more.median()))]
            if metric == "fault":
                texts.append((0.01, "left", MEMORY[memory][0]))
            for across, side, text in texts:
                axis.annotate(
                    text,
                    (across, at),
                    xycoords=("axes fraction", "data"),
                    ha=side,
                    va="center",
                    fontsize=8.5,
                    color=colour,
                )
    axis.axvline(0, color=plots.GREY, linewidth=1)
    axis.set_yticks(range(len(STEPS)), [name for _, name in reversed(STEPS.values())])
    axis.grid(visible=False, axis="y")
    axis.set_title(title)
    axis.set_xlabel("% more than the unpatched kernel")
    axis.annotate(
        "instructions",
        (0.99, 1.0),
        xycoords="axes fraction",
        ha="right",
        fontsize=8.5,
        color=plots.GREY,
    )
    # Room for the numbers next to the lines, and for the names.
    axis.margins(x=0.3)
widest = max(abs(limit) for axis in axes for limit in axis.get_xlim())
for axis in axes:
    axis.set_xlim(-widest, widest)
sizes = run.finished["size"].nunique()
legend(
    figure,
    f"dots and numbers: the median of {sizes} guests of different size    "
    "lines: from the least of them to the most",
)
plots.picture(
    figure,
    alt="Difference to the unpatched kernel of six operations on four kinds of memory, in per cent "
    "and in instructions, with sharing never turned on and with it on.",
)
