"""Run the same Step 5 work several ways side by side and print what each costs.

`python -m benchmarks.step5`; docs/benchmarks.md says what is measured and how to read it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmarks.figures import WAYS, Run, score_table, summary_table
from benchmarks.machine import machine_line
from benchmarks.measure import Measured, run_measured
from benchmarks.product import run_product
from benchmarks.tables import MADE_ROWS, ROOT, BenchError, BenchTable, default_names, open_table
from benchmarks.work import Outcome, PlainTask, Work
from gpu.params import FAMILIES, Family

Draws = dict[Family, tuple[dict[str, Any], ...]]

# Settings of threads and of this product that would steer one way and not the other.
_STEERING = ("OMP_", "MKL_", "OPENBLAS_", "NUMEXPR_", "WATCHER_")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure every table asked for; 0, or 1 when a run failed."""
    options = _parse(argv)
    machine = machine_line()
    print(machine, flush=True)
    report = [f"Machine: {machine}."]
    tables: list[dict[str, Any]] = []
    try:
        with tempfile.TemporaryDirectory(prefix="bench-step5-") as scratch:
            for name in options.table:
                table = open_table(name, options.target, Path(scratch), options.rows)
                work = Work(
                    table=str(table.path),
                    target=table.target,
                    trials=options.trials,
                    folds=options.folds,
                    families=tuple(options.families),
                    seed=options.seed,
                )
                runs = _measure(table, work, options, Path(scratch))
                text = _describe(table, work, options, runs)
                print(f"\n{text}", flush=True)
                report.append(text)
                tables.append(
                    {
                        "table": table.name,
                        "work": work.model_dump(mode="json", exclude={"table"}),
                        "runs": [_plain_values(run) for run in runs],
                    }
                )
                if options.out is not None:  # after each table: the next one may take hours
                    _write(options.out, {"machine": machine, "tables": tables}, report)
    except BenchError as error:
        print(f"benchmarks.step5: {error}", file=sys.stderr)
        return 1
    return 0


def _measure(
    table: BenchTable, work: Work, options: argparse.Namespace, scratch: Path
) -> list[Run]:
    """All ways, interleaved, so that a change of the machine's mood meets every way alike."""
    environment = _environment(os.environ)
    draws: Draws | None = None
    runs: list[Run] = []
    for repeat in range(options.repeats):
        for way in options.ways:
            load = os.getloadavg()[0]
            with tempfile.TemporaryDirectory(prefix=f"{way}-", dir=scratch) as folder:
                measured, outcome = _run_way(
                    way, work, draws, options.plain_folds, Path(folder), environment
                )
            if way == options.ways[0] and options.draws == "product":
                draws = {family: found.draws for family, found in outcome.families.items()}
            runs.append(Run(way, repeat, load, measured, outcome))
            print(
                f"{table.name}, repeat {repeat + 1} of {options.repeats}, {WAYS[way]}: "
                f"{measured.wall_s:.1f} s, {measured.peak_mib:.0f} MiB (load before {load:.2f})",
                file=sys.stderr,
                flush=True,
            )
    return runs


def _run_way(
    way: str,
    work: Work,
    draws: Draws | None,
    plain_folds: int,
    folder: Path,
    environment: dict[str, str],
) -> tuple[Measured, Outcome]:
    match way:
        case "product" | "product_default":
            same_fits = way == "product"
            return run_product(work, same_fits=same_fits, folder=folder, environment=environment)
        case _:
            n_jobs = 2 if way == "plain_n_jobs_2" else 1
            task, outcome = folder / "task.json", folder / "outcome.json"
            orders = PlainTask(work=work, n_jobs=n_jobs, fit_folds=plain_folds, draws=draws)
            task.write_text(orders.model_dump_json(), encoding="utf-8")
            argv = [sys.executable, "-m", "benchmarks.plain_loop", str(task), str(outcome)]
            measured = run_measured(argv, folder, environment)
            found = Outcome.model_validate_json(outcome.read_bytes())
            return scaled(measured, found, work.folds / plain_folds), found


def scaled(measured: Measured, outcome: Outcome, factor: float) -> Measured:
    """A run's costs if its trials had fitted `factor` times as many folds; 1: as it was.

    Imports, reading the table and refitting the best trial stay as they are. Memory does too.
    """
    wall_s = sum(family.search_s for family in outcome.families.values())
    cpu_s = sum(family.search_cpu_s for family in outcome.families.values())
    return replace(
        measured,
        wall_s=measured.wall_s + (factor - 1) * wall_s,
        cpu_s=measured.cpu_s + (factor - 1) * cpu_s,
    )


def _environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """The same for every way: no settings of threads, no GPU, modules of this checkout."""
    kept = {name: value for name, value in inherited.items() if not name.startswith(_STEERING)}
    return {**kept, "CUDA_VISIBLE_DEVICES": "", "HIP_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)}


def _describe(
    table: BenchTable, work: Work, options: argparse.Namespace, runs: Sequence[Run]
) -> str:
    draws = "the product's" if options.draws == "product" else "each way's own"
    loads = [run.load_before for run in runs]
    head = (
        f"Table {table.name}: {work.trials} trials x {work.folds} folds a family, "
        f"{', '.join(work.families)}; seed {work.seed}; trials drawn: {draws}; "
        f"{options.repeats} repeats, interleaved; load average before a run "
        f"{min(loads):.2f} to {max(loads):.2f}."
    )
    if options.plain_folds < work.folds:
        head += (
            f" Plain loops fitted {options.plain_folds} of the {work.folds} folds of a trial; the "
            "time of their trials is scaled to all folds, and their scores are of these folds."
        )
    return "\n\n".join([head, summary_table(runs), score_table(runs)])


def _plain_values(run: Run) -> dict[str, Any]:
    return {
        "way": run.way,
        "repeat": run.repeat,
        "load_before": run.load_before,
        "measured": asdict(run.measured),
        "families": run.outcome.model_dump(mode="json")["families"],
    }


def _write(path: Path, document: dict[str, Any], report: Sequence[str]) -> None:
    """The JSON, and beside it the Markdown that docs/benchmarks.md takes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    path.with_suffix(".md").write_text("\n\n".join(report) + "\n", encoding="utf-8")


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.step5", description=__doc__)
    parser.add_argument(
        "--table",
        action="append",
        metavar="NAME|PATH",
        help="made, protein, or a file with --target; may be given again (default: all there are)",
    )
    parser.add_argument("--target", help="column to predict; for files")
    parser.add_argument("--rows", type=int, default=MADE_ROWS, help="rows of the made table")
    parser.add_argument("--trials", type=int, default=12, help="a family (default: %(default)s)")
    parser.add_argument("--folds", type=int, default=3, help="(default: %(default)s)")
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=list(FAMILIES))
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--repeats", type=int, default=3, help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--draws",
        choices=["product", "own"],
        default="product",
        help="product: the plain loops repeat the trials that the first way drew; "
        "own: they draw their own (default: %(default)s)",
    )
    parser.add_argument(
        "--plain-folds",
        type=int,
        help="plain loops fit so many folds of a trial, and the time of their trials is scaled to "
        "all of them, which makes large tables affordable (default: all)",
    )
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="also write JSON and FILE.md")
    options = parser.parse_args(argv)
    if min(options.rows, options.trials, options.repeats) < 1 or options.folds < 2:
        parser.error("--rows, --trials and --repeats must be 1 or more, --folds 2 or more")
    if options.plain_folds is None:
        options.plain_folds = options.folds
    if not 1 <= options.plain_folds <= options.folds:
        parser.error("--plain-folds must lie between 1 and --folds")
    if options.draws == "product" and not options.ways[0].startswith("product"):
        parser.error("--draws product needs a product way first in --ways; or take --draws own")
    options.table = options.table or default_names()
    return options


if __name__ == "__main__":
    sys.exit(main())
