# ---
# jupyter:
#   experiment: contention
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Do processes that share page tables wait for each other?
#
# Eight processes work on the same GiB of a file at the same time, on one, two and four processors.
# Counted are sleeps for a semaphore, failed first attempts at one, faults, and TLB shootdowns.
# Counts are valid under emulation, but which processes meet at a lock depends on how the host runs
# the guest's processors. So each combination is run several times, and the median is shown with its
# 95 % bootstrap interval. How *long* a process waited cannot be measured here.

# %% tags=["parameters"]
run_path = None  # the newest run, unless analysis.render says which

# %%
import pandas as pd
from IPython.display import Markdown, display

from analysis import charts, plots, tidy
from analysis.load import load_runs
from driver.intervals import median_interval

plots.use_style()
run = load_runs(["contention"], run_path)["contention"]
OWN, SHARED = plots.VERMILLION, plots.BLUE
ARMS = [
    ("baseline", "off", plots.GREY, "unpatched"),
    ("patched", "off", OWN, "sharing off"),
    ("patched", "on", SHARED, "sharing on"),
]
LOADS = {
    "fault": "map, touch 16 places, unmap",
    "fork": "fork; the child touches 16",
    "mixed": "half of each",
}
rounds = run.trials["repeat"].nunique()
display(
    Markdown(
        f"Run `{run.name}`: {len(run.finished)} of {len(run.trials)} trials in {rounds} rounds, "
        f"accelerator `{run.manifest.accelerator}`; counts {run.manifest.valid['counts']}, "
        f"time {run.manifest.valid['time']}."
    )
)


def per_operation(*metrics: str) -> pd.DataFrame:
    frames = [tidy.at_phase(run, "value", metric, "worked") for metric in metrics]
    made = frames[0].copy()
    made["value"] = pd.concat([frame["value"] for frame in frames], axis=1).sum(axis=1)
    made["value"] /= tidy.at_phase(run, "value", "operations", "worked")["value"]
    return made


# %% [markdown]
# ## Semaphores
# Attaching to a table and detaching from it take the lock of the file's mappings (`i_mmap_rwsem`)
# for writing. So do mmap, munmap, fork and exit, with or without sharing. A process that sleeps has
# waited. A process whose first attempt fails may have waited by spinning, or the semaphore was free
# but another process was queued for it and had not run yet. On one processor nobody spins, so there
# it can only be the latter.

# %%
first_attempts = per_operation("contended-writes", "contended-reads")
ROWS = {
    "sleeps for a semaphore,\nper 100 operations": per_operation("sleeps"),
    "failed first attempts,\nper 100 operations": first_attempts,
}
loads = [load for load in LOADS if load in set(first_attempts["load"])]


def of(frame: pd.DataFrame, load: str, kernel: str, sharing: str) -> pd.DataFrame:
    rows = frame[frame["load"] == load]
    return rows[(rows["kernel"] == kernel) & (rows["sharing"] == sharing)]


panels = []
figure = plots.grid(len(ROWS), len(loads), height=6.4)
for row, (name, frame) in enumerate(ROWS.items()):
    highest = 0.0
    for column, load in enumerate(loads):
        axis = figure.axes[row * len(loads) + column]
        panel = charts.Panel(
            axis,
            LOADS[load] if row == 0 else "",
            "processors" if row == len(ROWS) - 1 else "",
            show=lambda y: f"{y:,.0f}",
            log_y=False,
        )
        for place, (kernel, sharing, colour, arm) in enumerate(ARMS):
            groups = of(frame, load, kernel, sharing).groupby("processors")["value"]
            found = {
                int(str(number)): median_interval(list(100 * values)) for number, values in groups
            }
            panel.curve(
                f"{arm} {list(found.values())[-1].estimate:,.1f}",
                colour,
                # Side by side, or the intervals would hide each other.
                [number * 1.06 ** (place - 1) for number in found],
                [each.estimate for each in found.values()],
                spread=(
                    [each.low for each in found.values()],
                    [each.high for each in found.values()],
                ),
            )
            highest = max(highest, *(each.high for each in found.values()))
        panels.append(panel)
    axis.set_ylim(0, 1.05 * highest)
    figure.axes[row * len(loads)].set_ylabel(name)
processors = sorted(set(first_attempts["processors"]))
for panel in panels:
    panel.close()
    panel.axes.set_xticks(processors, [str(number) for number in processors])
figure.supxlabel(
    f"dots: the median of {rounds} rounds    lines: its 95 % bootstrap interval",
    fontsize=9.5,
    color=plots.GREY,
)
plots.picture(
    figure,
    alt="Sleeps for a semaphore, and failed first attempts at one, per 100 operations, against the "
    "number of processors, for three loads, on the unpatched kernel and with sharing off and on.",
)

# %%
COUNTS = {
    "sleeps for a semaphore, per 100": (100, per_operation("sleeps")),
    "failed first attempts at a semaphore, per 100": (100, first_attempts),
    "spinlocks that were not free, per 100": (100, per_operation("contended-spins")),
    "faults": (1, per_operation("minor-faults")),
    "TLB shootdowns, per 100": (100, per_operation("shootdowns")),
}
# A guest that knows its hypervisor takes spinlocks in a way that counts none: drop a row of zeros.
COUNTS = {what: (scale, frame) for what, (scale, frame) in COUNTS.items() if frame["value"].any()}
most = max(first_attempts["processors"])


def cell(scale: float, frame: pd.DataFrame, load: str, kernel: str, sharing: str) -> str:
    rows = of(frame, load, kernel, sharing)
    found = median_interval(list(scale * rows[rows["processors"] == most]["value"]))
    if found.low == found.high:
        return f"{found.estimate:,.1f}"
    return f"{found.estimate:,.1f} ({found.low:,.1f} to {found.high:,.1f})"


table = pd.DataFrame(
    {
        (LOADS[load], name): {
            what: cell(scale, frame, load, kernel, sharing)
            for what, (scale, frame) in COUNTS.items()
        }
        for load in loads
        for kernel, sharing, _, name in ARMS
    }
).T
display(
    Markdown(
        f"Per operation, or per 100 where it says so, on {most} processors: "
        f"the median of {rounds} rounds and its interval."
    )
)
table

# %% [markdown]
# ## Lock acquisitions that sharing adds
# One to attach and one to detach, as counted by the kernel.

# %%
attached = tidy.change(run, "vmstat", "dax_pt_share_attach", since="ready", until="worked")
released = tidy.change(run, "vmstat", "dax_pt_share_detach", since="ready", until="worked")
operations = tidy.at_phase(run, "value", "operations", "worked")["value"]
attached["added"] = (attached["change"] + released["change"]) / operations
attached.query("kernel == 'patched'").groupby(["sharing", "load"])["added"].median().unstack().map(
    "{:.2f}".format
)
