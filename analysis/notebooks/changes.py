# ---
# jupyter:
#   experiment: five-cases
#   reply: false
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # What has changed since the run in this repository?
#
# The experiment follows one page table through its life: made, shared, written to by one process,
# unmapped by one and by the last. This notebook compares a run of it with the committed one,
# metric by metric, through `driver.api`. To see what a change to the kernel does:
#
#     from driver import api
#     run = api.run_experiment("five-cases", source="~/linux")

# %% tags=["parameters"]
run_path = None  # the newest run of this experiment, unless analysis.render says which

# %%
import pandas as pd
from IPython.display import Markdown, display

from analysis import plots
from analysis.load import SAMPLES, find_run
from driver import api

plots.use_style()
EXPERIMENT = "five-cases"
now = api.read_run(run_path or find_run(EXPERIMENT))
then = api.read_run(find_run(EXPERIMENT, SAMPLES, SAMPLES))
checks = now.verdicts.asserted
display(
    Markdown(
        f"- committed: `{then.run.name}`\n"
        f"- this run: `{now.run.name}`, {len(now.run.finished)} of {len(now.run.trials)} trials "
        f"finished, {len(checks) - len(now.verdicts.failures)} of {len(checks)} checks hold"
    )
)

# %% [markdown]
# ## Metric by metric

# %%
comparison = api.compare_runs(then, now)
places = [(row, dict((*row.arm, *row.place))) for row in comparison.rows]
changed = pd.DataFrame(
    [
        {
            "metric": row.quantity.name,
            **factors,
            "before": row.difference.first,
            "after": row.difference.second,
            "unit": row.quantity.unit,
        }
        for row, factors in places
        if row.outcome == "changed" and row.difference is not None
    ]
)
display(
    Markdown(
        f"**{len(changed)} of {len(places)} values changed.**"
        + ("" if len(changed) else " The kernels build, share and free the same page tables.")
    )
)
if len(changed):
    display(changed)

# %%
if comparison.circumstances:
    display(
        Markdown(
            "The runs differ in\n\n"
            + "\n".join(
                f"- {item.what}: {item.first} -> {item.second}" for item in comparison.circumstances
            )
        )
    )

# %% [markdown]
# ## Page tables of the range, by stage
# One row per arm and stage: a ring is the committed run, a dot is this one. A dot in its ring has
# not moved.

# %%
STAGES = {
    "at_new": "first process",
    "at_share": "second process",
    "at_unmap_shared": "one unmapped",
    "at_unmap_last": "both unmapped",
}
figure, axes = plots.figure(len(STAGES), height=4.2)
for axis, (metric, title) in zip(axes, STAGES.items(), strict=True):
    rows = [
        (" ".join(factors.values()), row.difference)
        for row, factors in places
        if row.quantity.name == metric and row.difference is not None
    ]
    for height, (_, found) in enumerate(rows):
        axis.plot(found.first / 4096, height, "o", ms=11, mfc="none", mec=plots.GREY)
        axis.plot(found.second / 4096, height, "o", ms=5, color=plots.BLUE)
    axis.set_title(title)
    axis.set_xlabel("pages")
    axis.set_xscale("symlog", linthresh=1)
    axis.set_xlim(-0.5, 2000)
    axis.set_yticks(range(len(rows)), [label for label, _ in rows])
plots.picture(
    figure,
    alt="Pages of page tables in four stages of their life, one row per arm: rings for the "
    "committed run, dots for this one.",
)
