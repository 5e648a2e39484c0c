"""A small table from rows, columns, machine and time to parameters of Step 5. Pure.

Times are CPU seconds of Step 5 comparing four families, measured on tables of 2,000 and 20,000 rows
and 15 columns (docs/chapter-04-capacity.md): a start of about 20 s, mostly libraries that load, and
for each fold of one trial of every family 0.8 s and 8.6 microseconds a cell.
"""

from __future__ import annotations

from dataclasses import dataclass

START_S = 20.0
FOLD_S = 0.8
CELL_S = 8.6e-6
# Final fits, judging and what the estimate gets wrong.
_SPARE = 0.75
_FEWEST_TRIALS, _MOST_TRIALS = 5, 200
# Where nobody has named a time, more trials than that buy little.
_ENOUGH_TRIALS = 50
_MOST_CORES = 16
# Five folds only where they leave so many trials.
_TRIALS_WORTH_FOLDS = 20
_MIB = 1 << 20
# What a worker needs beside the table, with the largest library loaded.
_WORKER_MIB = 900.0
_COPIES, _BYTES = 4, 8


@dataclass(frozen=True, slots=True)
class Machine:
    """Cores that may be kept busy, and memory that can be taken, MiB."""

    cores: int
    memory_mib: float


@dataclass(frozen=True, slots=True)
class Capacity:
    """Parameters of Step 5 and the sentences they rest on. estimated_s: wall-clock seconds."""

    params: dict[str, int | float | str | bool | None]
    reasons: tuple[str, ...]
    estimated_s: float


def capacity_for(
    rows: int, columns: int, machine: Machine, time_budget_minutes: float | None
) -> Capacity:
    """What fits. rows, columns: of the whole table, 0 or more; equal input, equal answer."""
    cells = rows * columns
    minutes = _usual_minutes(cells) if time_budget_minutes is None else time_budget_minutes
    most = _ENOUGH_TRIALS if time_budget_minutes is None else _MOST_TRIALS
    fed = int(machine.memory_mib // (_WORKER_MIB + _COPIES * _BYTES * cells / _MIB))
    cores = max(1, min(machine.cores, fed, _MOST_CORES))
    cpu_s = max(0.0, minutes * 60 * cores * _SPARE - START_S)
    folds, trials = _folds_and_trials(rows, cells, cpu_s, most)
    trained_s = START_S + trials * folds * _fold_s(cells)
    small, large = rows < 500, cells > 1_000_000
    params: dict[str, int | float | str | bool | None] = {
        "trials": trials,
        "k_folds": folds,
        "n_estimators": 200 if small else 500,
        "early_stopping_rounds": 20 if small else 30,
        "epochs": 30 if large else 60,
        "patience": 5 if large else 10,
    }
    wall_s = trained_s / cores
    within = "within" if wall_s <= minutes * 60 else "the fewest that say anything, although over"
    reasons = [
        f"{rows} rows of {columns} columns: about {_fold_s(cells):.2g} s of one core for a fold of "
        "one trial of all four families",
        f"{trials} trials of {folds} folds: about {wall_s:.0f} s on {cores} "
        f"{'core' if cores == 1 else 'cores'}, {within} {minutes:g} minutes",
    ]
    if time_budget_minutes is not None:
        params["time_budget_minutes"] = time_budget_minutes
        reasons.append(f"Step 5 itself ends after {time_budget_minutes:g} minutes, as was asked")
    if fed < min(machine.cores, _MOST_CORES):
        reasons.append(
            f"{machine.memory_mib:.0f} MiB of memory feed {max(1, fed)} of {machine.cores} cores"
        )
    if small:
        reasons.append("under 500 rows few boosting rounds are enough")
    if large:
        reasons.append("over a million cells fewer epochs see as many rows")
    return Capacity(params, tuple(reasons), wall_s)


def _usual_minutes(cells: int) -> float:
    """Where nobody has said how long it may take."""
    if cells <= 50_000:
        return 0.9
    return 5.0 if cells <= 1_000_000 else 20.0


def _fold_s(cells: int) -> float:
    return FOLD_S + CELL_S * cells


def _folds_and_trials(rows: int, cells: int, cpu_s: float, most: int) -> tuple[int, int]:
    def trials(folds: int) -> int:
        return max(_FEWEST_TRIALS, min(most, int(cpu_s / (folds * _fold_s(cells)))))

    if rows < 60:
        return 2, min(_FEWEST_TRIALS * 2, trials(2))
    folds = 5 if trials(5) >= _TRIALS_WORTH_FOLDS else 3
    return folds, trials(folds)
