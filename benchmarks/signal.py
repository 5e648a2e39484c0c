"""Is the verdict right? Run Step 5 on tables whose truth is known, and count.

    python -m benchmarks.signal --noise 200 --weak 40 --leaks 2 --honest 1 --out signal.jsonl

noise: tables without a relation, which must be "none". weak: 20,000 rows with a planted R2 of 0.02,
which must be "weak" or "strong". leaks: rounds; in each, every leak is planted in a made table and,
where they lie on this machine, in real ones: all must be "leaked". honest: rounds of made tables
with a true R2 of 0.98, and the real tables once: none may be "leaked". Every table goes through the
real step: its process, its workers, all families asked for.

Each result is a line of the file; a call goes on where the last one ended. Exit status 1 if a share
is under what is demanded.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from benchmarks.figures import markdown
from benchmarks.machine import machine_line
from benchmarks.signal_tables import (
    Columns,
    Floats,
    carrier,
    honest,
    noise_table,
    planted,
    real_names,
    real_table,
    weak_table,
)
from benchmarks.tables import ROOT
from gpu.params import FAMILIES
from steps.contract import StepRequest, StepResult

# Small enough to take seconds; every family still learns something.
SMALL = {"k_folds": 3, "epochs": 12, "n_estimators": 80}
TARGET = "target"
CARRIERS = {"normal": 3000, "skewed": 800}
REAL_CARRIERS = ("california_housing", "ames")

Made = tuple[Columns, Floats]


@dataclass(frozen=True, slots=True)
class Case:
    """One table. wanted: the verdicts that are right. make: its features and target."""

    kind: str
    name: str
    wanted: tuple[str, ...]
    make: Callable[[], Made]

    @property
    def key(self) -> str:
        """What its line in the file is known by."""
        return f"{self.kind}/{self.name}"


@dataclass(frozen=True, slots=True)
class Seen:
    """What the step said. cv_r2, holdout_r2: of the best family."""

    key: str
    kind: str
    right: bool
    verdict: str
    leaked_features: tuple[str, ...]
    p_value: float | None
    cv_r2: float
    holdout_r2: float
    reason: str
    seconds: float


# What share of the tables of a kind must have a right verdict.
DEMANDED = {"noise": 0.95, "weak": 0.95, "leaks": 1.0, "honest": 1.0}
ALL_BUT_LEAKED = ("strong", "weak", "none")


def main(argv: Sequence[str] | None = None) -> int:
    """Run what the file does not hold yet; 0 if every share is as demanded."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.signal", description=__doc__)
    for kind, what in (
        ("noise", "tables"),
        ("weak", "tables"),
        ("leaks", "rounds"),
        ("honest", "rounds"),
    ):
        parser.add_argument(f"--{kind}", type=int, default=0, metavar="N", help=what)
    parser.add_argument("--families", default=",".join(FAMILIES), help="with commas between them")
    parser.add_argument("--trials", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("signal.jsonl"))
    options = parser.parse_args(argv)
    families = options.families.split(",")
    seen = read_seen(options.out)
    with tempfile.TemporaryDirectory(prefix="bench-signal-") as folder:
        for case in cases(options.noise, options.weak, options.leaks, options.honest):
            if case.key in seen:
                continue
            found = run_case(case, Path(folder), families, options.trials)
            seen[case.key] = found
            with options.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(found)) + "\n")
            mark = "right" if found.right else "WRONG"
            print(f"{mark} {case.key}: {found.verdict}, {found.seconds:.1f} s", flush=True)
    print(machine_line())
    print(f"families {', '.join(families)}; {options.trials} trials of each, {SMALL}\n")
    print(table(list(seen.values())))
    for found in seen.values():
        if not found.right:
            print(f"- {found.key}: {found.verdict}; {found.reason}")
    return 0 if all(share >= DEMANDED[kind] for kind, share in shares(seen.values())) else 1


def cases(noise: int, weak: int, leaks: int, honest_rounds: int) -> Iterator[Case]:
    """Every table of a call, in order; the same for the same numbers."""
    for i in range(noise):
        name = noise_table(np.random.default_rng([1, i]))[0]
        yield Case("noise", f"{i} ({name})", ("none",), lambda i=i: _noise(i))
    for i in range(weak):
        wanted = ("weak", "strong")
        yield Case("weak", str(i), wanted, lambda i=i: weak_table(np.random.default_rng([2, i])))
    for i in range(leaks):
        for where, make in _carriers(i).items():
            _, y = make()
            for name in planted(y, np.random.default_rng([3, i])):
                yield Case(
                    "leaks",
                    f"{i} {name} in {where}",
                    ("leaked",),
                    lambda i=i, make=make, name=name: _with_leak(i, make, name),
                )
    for i in range(honest_rounds):
        for name in honest(np.random.default_rng([4, i])):
            yield Case(
                "honest", f"{i} {name}", ALL_BUT_LEAKED, lambda i=i, name=name: _honest(i, name)
            )
    if honest_rounds:
        for name in real_names():
            yield Case("honest", name, ALL_BUT_LEAKED, lambda name=name: real_table(name, None))


def run_case(case: Case, folder: Path, families: Sequence[str], trials: int) -> Seen:
    """Step 5 on the table, as the watcher starts it, in a workspace of its own."""
    workspace = folder / "workspace"
    out_dir = workspace / ".watcher" / "runs" / "r" / "step5-attempt1"
    out_dir.mkdir(parents=True)
    path = workspace / "table.parquet"
    columns, y = case.make()
    pa.parquet.write_table(
        pa.table(
            {**{name: pa.array(v, from_pandas=True) for name, v in columns.items()}, TARGET: y}
        ),
        path,
    )
    policy_path = workspace / "watcher_policies.json"
    allowed = {family: family in families for family in FAMILIES}
    training = {"families": allowed, "use_gpus": False, "use_persistent_workers": True}
    policy_path.write_text(json.dumps({"training": training}), encoding="utf-8")
    request = StepRequest(
        run_id="r",
        step=5,
        attempt=1,
        params={**SMALL, "trials": trials, "survivors": str(path), "target": TARGET},
        inputs={"survivors": str(path)},
        workspace=str(workspace),
        policy_path=str(policy_path),
        out_dir=str(out_dir),
    )
    request_path = out_dir / "request.json"
    request_path.write_text(request.model_dump_json(), encoding="utf-8")
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "steps.step5_training", "--request", str(request_path)],
        cwd=workspace,
        # Leases are machine-wide: a run of somebody else's must not hold these up.
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(workspace)},
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.monotonic() - started
    if not request.result_path.is_file():
        raise SystemExit(f"{case.key}: the step left no result: {done.stderr}")
    result = StepResult.model_validate_json(request.result_path.read_bytes())
    shutil.rmtree(workspace)
    return _seen(case, result, seconds)


def read_seen(path: Path) -> dict[str, Seen]:
    """The results that the file holds, by key."""
    if not path.is_file():
        return {}
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {line["key"]: Seen(**line) for line in lines}


def shares(seen: Iterator[Seen] | Sequence[Seen]) -> list[tuple[str, float]]:
    """Of each kind the share of right verdicts."""
    every = list(seen)
    kinds = [kind for kind in DEMANDED if any(found.kind == kind for found in every)]
    return [(kind, float(np.mean([f.right for f in every if f.kind == kind]))) for kind in kinds]


def table(seen: Sequence[Seen]) -> str:
    """Markdown: a row a kind, with how often each verdict was given."""
    verdicts = ("strong", "weak", "none", "leaked")
    rows = []
    for kind, share in shares(seen):
        own = [found for found in seen if found.kind == kind]
        counts = [str(sum(found.verdict == verdict for found in own)) for verdict in verdicts]
        seconds = float(np.median([found.seconds for found in own]))
        demanded = f"{DEMANDED[kind]:.0%}"
        rows.append([kind, str(len(own)), *counts, f"{share:.1%}", demanded, f"{seconds:.1f}"])
    heads = ["tables", "number", *verdicts, "right", "demanded", "median s"]
    return markdown(heads, rows)


def _seen(case: Case, result: StepResult, seconds: float) -> Seen:
    signal = result.signal
    if signal is None:
        raise SystemExit(f"{case.key}: the step ended with {result.status}: {result.headline}")
    scored = [family for family in result.families.values() if family.cv and family.holdout]
    best = max(scored, key=lambda family: family.cv.r2.value if family.cv else -np.inf)
    assert best.cv is not None
    assert best.holdout is not None
    return Seen(
        key=case.key,
        kind=case.kind,
        right=signal.verdict in case.wanted,
        verdict=signal.verdict,
        leaked_features=signal.leaked_features,
        p_value=signal.p_value,
        cv_r2=best.cv.r2.value,
        holdout_r2=best.holdout.r2.value,
        reason=signal.reasons[0],
        seconds=round(seconds, 2),
    )


def _noise(i: int) -> Made:
    _, columns, y = noise_table(np.random.default_rng([1, i]))
    return columns, y


def _honest(i: int, name: str) -> Made:
    rng = np.random.default_rng([4, i])
    y, columns = honest(rng)[name]
    return columns, y


def _carriers(i: int) -> dict[str, Callable[[], Made]]:
    made: dict[str, Callable[[], Made]] = {
        f"{target} {n}": lambda target=target, n=n: carrier(
            np.random.default_rng([5, i, n]), n, target
        )
        for target, n in CARRIERS.items()
    }
    for name in real_names():
        if name in REAL_CARRIERS:
            made[name] = lambda name=name: real_table(name, i)
    return made


def _with_leak(i: int, make: Callable[[], Made], name: str) -> Made:
    columns, y = make()
    features, _ = planted(y, np.random.default_rng([3, i]))[name]
    return {**columns, **features}, y


if __name__ == "__main__":
    sys.exit(main())
