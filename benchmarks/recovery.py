"""Is a generator's state found, from how few draws, and how fast? And is chance ever called found?

    python -m benchmarks.recovery --table --out recovery.jsonl
    python -m benchmarks.recovery --false-alarms 500 --out recovery.jsonl
    python -m benchmarks.recovery --throughput --out recovery.jsonl

table: for every generator, mapping, gap and rate of corruption the fewest draws with which all of
several simulated histories give up their state, and the seconds that takes. false-alarms: so many
histories of true randomness, about which every method is asked. throughput: seeds a second and
core, beside numpy. All times are CPU seconds of one thread.

Each result is a line of the file; a call goes on where the last one ended. Exit status 1 if
something was found in true randomness.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.figures import markdown
from benchmarks.machine import machine_line
from benchmarks.recovery_alarms import FOUND, Asked, ask, summary
from benchmarks.recovery_alarms import key_of as alarm_key
from benchmarks.recovery_cells import CORRUPTIONS, Cell, cells
from benchmarks.recovery_draws import Measured, measure
from benchmarks.recovery_speed import SEEDINGS, Speed, measure_speed, speed_table
from benchmarks.recovery_speed import key_of as speed_key

Result = Measured | Asked | Speed


def main(argv: Sequence[str] | None = None) -> int:
    """Run what the file does not hold yet, and print its tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recovery", description=__doc__)
    parser.add_argument("--table", action="store_true", help="draws and seconds a find takes")
    parser.add_argument("--false-alarms", type=int, default=0, metavar="N", help="histories")
    parser.add_argument("--throughput", action="store_true", help="seeds a second")
    parser.add_argument("--only", default="", help="rows of the table whose key has this in it")
    parser.add_argument("--seed-bits", type=int, default=20, help="seeds searched: 2^this")
    parser.add_argument("--tries", type=int, default=3, help="histories a number of draws")
    parser.add_argument("--budget", type=float, default=300.0, help="CPU seconds a cell")
    parser.add_argument("--search-budget", type=float, default=10.0, help="of a false alarm's")
    parser.add_argument("--repeats", type=int, default=5, help="of throughput, 3 at least")
    parser.add_argument("--run-seconds", type=float, default=1.0, help="of throughput, a run")
    parser.add_argument("--out", type=Path, default=Path("recovery.jsonl"))
    options = parser.parse_args(argv)
    if options.repeats < 3:
        parser.error(f"--repeats must be at least 3, got {options.repeats}")
    seen = read_results(options.out)
    wanted = []
    for key, run in _work(options):
        wanted.append(key)
        if key not in seen:
            print(f"{key} ...", file=sys.stderr, flush=True)
            seen[key] = run()
            with options.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(seen[key])) + "\n")
    print(f"{machine_line()}, numba {version('numba')}; load {os.getloadavg()[0]:.1f}\n")
    print(tables([seen[key] for key in wanted]))
    return (
        1
        if any(isinstance(one, Asked) and FOUND in one.answers.values() for one in seen.values())
        else 0
    )


def _work(options: argparse.Namespace) -> Iterator[tuple[str, Any]]:
    """Every result of a call by key, with what makes it."""
    if options.throughput:
        for name in SEEDINGS:
            yield (
                speed_key(name),
                lambda name=name: measure_speed(name, options.repeats, options.run_seconds),
            )
    if options.table:
        for cell in cells(options.seed_bits):
            if options.only in cell.key:
                yield cell.key, lambda cell=cell: measure(cell, options.tries, options.budget)
    for number in range(options.false_alarms):
        yield alarm_key(number), lambda number=number: ask(number, options.search_budget)


def read_results(path: Path) -> dict[str, Result]:
    """The results that the file holds, by key."""
    if not path.is_file():
        return {}
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {line["key"]: _result(line) for line in lines}


def tables(results: Sequence[Result]) -> str:
    """Markdown of all that there is."""
    measured = [one for one in results if isinstance(one, Measured)]
    asked = [one for one in results if isinstance(one, Asked)]
    speeds = [one for one in results if isinstance(one, Speed)]
    parts = []
    for whole in (True, False):
        own = [one for one in measured if (one.cell.missing == 0) == whole]
        if own:
            parts.append(recovery_table(own))
    if measured:
        searches, missed = sum(one.searches for one in measured), sum(o.missed for o in measured)
        parts.append(f"Of {searches} searches with so many draws or more {missed} found nothing.")
    parts += [
        f"- {one.key.partition('/')[2]}: {one.outcome}; {one.reason}"
        for one in measured
        if one.reason
    ]
    if asked:
        parts.append(summary(asked))
    if speeds:
        parts.append(speed_table(speeds))
    return "\n\n".join(parts)


def recovery_table(measured: Sequence[Measured]) -> str:
    """A row for each generator, mapping and gap, a column for each rate of corruption."""
    found = {one.cell: one for one in measured}
    shown = [rate for rate in CORRUPTIONS if any(cell.corruption == rate for cell in found)]
    heads = ["generator, mapping", "gap (tried)", "log10 hypotheses"]
    heads += ["clean" if rate == 0 else f"{rate:.0%} corrupted" for rate in shown]
    rows: dict[tuple[str, str], dict[float, Measured]] = {}
    for cell, one in found.items():
        missing = f", {cell.missing:.0%} missing" if cell.missing else ""
        row = (cell.name + missing, f"{cell.gap} ({cell.tried})")
        rows.setdefault(row, {})[cell.corruption] = one
    made = []
    for row, by_rate in rows.items():
        sizes = [one.log10_hypotheses for one in by_rate.values() if one.log10_hypotheses]
        size = f"{max(sizes):.1f}" if sizes else ""
        made.append([*row, size, *(_shown(by_rate.get(rate)) for rate in shown)])
    return markdown(heads, made)


def _shown(one: Measured | None) -> str:
    if one is None:
        return ""
    if one.draws is None or one.cpu_s is None:
        return one.outcome
    bound = "<= " if one.at_most else ""
    return f"{bound}{one.draws:,} draws, {one.cpu_s:.2g} s"


def _result(line: dict[str, Any]) -> Result:
    match line["key"].partition("/")[0]:
        case "table":
            return Measured(**{**line, "cell": Cell(**line["cell"])})
        case "alarms":
            return Asked(**line)
        case "speed":
            return Speed(**line)
        case other:
            raise ValueError(f"wanted a key of table/, alarms/ or speed/, got {other!r}")


if __name__ == "__main__":
    sys.exit(main())
