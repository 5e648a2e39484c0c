"""Turn the runs of one call into medians, ratios and Markdown.

A ratio is taken inside a repeat, between runs that followed each other; the table shows the median
of the ratios and, where there are several, their range.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.measure import Measured
from benchmarks.work import Outcome

PLAIN = "plain"
WAYS = {
    "product": "watcher, the same fits",
    "product_default": "watcher, as it comes",
    PLAIN: "plain loop, n_jobs=1",
    "plain_n_jobs_2": "plain loop, n_jobs=2",
}


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one way. repeat: from 0. load_before: the machine's 1-minute load average."""

    way: str
    repeat: int
    load_before: float
    measured: Measured
    outcome: Outcome


def summary_table(runs: Sequence[Run]) -> str:
    """Cost of each way: medians over the repeats, and ratios to the plain loop if that was run."""
    ratios = any(run.way == PLAIN for run in runs)
    heads = ["way", "wall s", "CPU s", "peak MiB", "processes", "trials", "fold fits"]
    if ratios:
        heads += ["wall / plain", "CPU / plain", "memory / plain"]
    rows = []
    for way, title in WAYS.items():
        own = [run for run in runs if run.way == way]
        if not own:
            continue
        row = [
            title,
            f"{_median(own, _wall):.1f}",
            f"{_median(own, _cpu):.1f}",
            f"{_median(own, _peak):.0f}",
            f"{max(run.measured.peak_processes for run in own)}",
            f"{_median(own, _trials):.0f}",
            f"{_median(own, _fold_fits):.0f}",
        ]
        if ratios:
            row += [_ratio(runs, own, pick) for pick in (_wall, _cpu, _peak)]
        rows.append(row)
    return markdown(heads, rows)


def score_table(runs: Sequence[Run]) -> str:
    """Best CV R2 and that model's holdout R2, a family a row; medians over the repeats."""
    present = [way for way in WAYS if any(run.way == way for run in runs)]
    rows = []
    for family in runs[0].outcome.families:
        row = [family]
        for way in present:
            own = [run.outcome.families[family] for run in runs if run.way == way]
            cv = statistics.median(outcome.best_cv_r2 for outcome in own)
            holdout = statistics.median(outcome.holdout_r2 for outcome in own)
            row.append(f"{cv:.4f} / {holdout:.4f}")
        rows.append(row)
    return markdown(["best CV R2 / holdout R2", *(WAYS[way] for way in present)], rows)


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, aligned so that it reads well as plain text too. Numbers to the right."""
    widths = [max(len(row[i]) for row in [heads, *rows]) for i in range(len(heads))]
    lines = [_line(heads, widths)]
    lines.append("|" + "|".join([":" + "-" * (widths[0] + 1), *_rules(widths[1:])]) + "|")
    return "\n".join([*lines, *(_line(row, widths) for row in rows)])


def _rules(widths: Sequence[int]) -> list[str]:
    return ["-" * (width + 1) + ":" for width in widths]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = zip(cells, widths, strict=True)
    padded = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
    return "| " + " | ".join(padded) + " |"


def _ratio(runs: Sequence[Run], own: Sequence[Run], pick: Callable[[Run], float]) -> str:
    plain = {run.repeat: pick(run) for run in runs if run.way == PLAIN}
    found = [pick(run) / plain[run.repeat] for run in own if run.repeat in plain]
    if not found:
        return "-"
    middle = f"{statistics.median(found):.2f}"
    if own[0].way == PLAIN or len(found) == 1:
        return middle
    return f"{middle} ({min(found):.2f} to {max(found):.2f})"


def _median(runs: Sequence[Run], pick: Callable[[Run], float]) -> float:
    return statistics.median(pick(run) for run in runs)


def _wall(run: Run) -> float:
    return run.measured.wall_s


def _cpu(run: Run) -> float:
    return run.measured.cpu_s


def _peak(run: Run) -> float:
    return run.measured.peak_mib


def _trials(run: Run) -> float:
    return sum(outcome.trials_done for outcome in run.outcome.families.values())


def _fold_fits(run: Run) -> float:
    return sum(outcome.fold_fits for outcome in run.outcome.families.values())
