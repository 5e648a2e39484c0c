"""How long Step 3 takes to score survivors, and where the time goes.

    python -m benchmarks.scoring
    python -m benchmarks.scoring --survivors 20000 --draws 500 --generators java

Survivors are random seeds, the history is true randomness. Seconds are wall time of the whole step
in this process, best of the repeats, beside the CPU seconds of that one. Exit status 1 if 100,000
survivors or more of the first generator take ten seconds or more.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from benchmarks.figures import markdown
from benchmarks.machine import machine_line
from steps.contract import StepRequest
from steps.files import sha256_file
from steps.forensics.candidates import write_survivors
from steps.forensics.documents import (
    HOLDOUT_FILE,
    SCORER_FILE,
    SURVIVORS_FILE,
    TRAIN_FILE,
    WINDOW_FILE,
    CandidateRecord,
    HistoryFacts,
    ScorerConfig,
    WindowConfig,
    write_document,
)
from steps.forensics.history import DrawHistory
from steps.forensics.matches import predicted_draws
from steps.forensics.parts import write_part
from steps.prng import generator_named
from steps.step3_scoring.run import run

GOAL_S = 10.0
GOAL_SURVIVORS = 100_000
MODULUS = 1000
FILES = {
    "window": WINDOW_FILE,
    "scorer": SCORER_FILE,
    "train": TRAIN_FILE,
    "holdout": HOLDOUT_FILE,
    "survivors": SURVIVORS_FILE,
}
# Mappings that are usual for a generator; for all others u % M.
MAPPINGS = {"java": "next_int"}


@dataclass(frozen=True, slots=True)
class Figure:
    """One generator's survivors. predicted_s: of the predictions alone, without any scoring."""

    generator: str
    wall_s: float
    cpu_s: float
    predicted_s: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Score the survivors of each generator, print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scoring",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--survivors", type=int, default=GOAL_SURVIVORS)
    parser.add_argument("--draws", type=int, default=1000, help="a fifth of them held back")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--generators", nargs="+", default=["java", "xorshift32", "pcg32", "mt19937"]
    )
    options = parser.parse_args(arguments)
    print(machine_line())
    loads = [f"{load:.1f}" for load in os.getloadavg()[:2]]
    print(f"load average {loads[0]} (5 minutes: {loads[1]})\n")
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        for generator in options.generators:
            made = survivors(generator, options.survivors)
            request = lay_out(Path(folder) / generator, made, options.draws)
            figures.append(measured(generator, made, request, options.draws, options.repeats))
    rows = [
        [f.generator, f"{f.wall_s:.1f}", f"{f.cpu_s:.1f}", f"{f.predicted_s:.1f}"] for f in figures
    ]
    print(markdown(["survivors of", "step 3, s", "CPU s", "predictions alone, s"], rows))
    slow = options.survivors >= GOAL_SURVIVORS and figures[0].wall_s >= GOAL_S
    if slow:
        print(f"wanted under {GOAL_S:g} s, got {figures[0].wall_s:.1f} s")
    return 1 if slow else 0


def measured(
    generator: str,
    made: Sequence[CandidateRecord],
    request: StepRequest,
    draws: int,
    repeats: int,
) -> Figure:
    """The best of some runs; the first compiles."""
    run(request)
    times = []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        run(request)
        times.append((time.perf_counter() - wall, time.process_time() - cpu))
    begun = time.perf_counter()
    predicted_draws(made, 0, draws)
    return Figure(generator, *min(times), time.perf_counter() - begun)


def survivors(generator: str, count: int) -> list[CandidateRecord]:
    """Random seeds, each with the record that a search gives a survivor."""
    rng = np.random.default_rng(1)
    seeding = generator_named(generator).seedings[0]
    return [
        CandidateRecord(
            stream="all",
            generator=generator,
            mapping=MAPPINGS.get(generator, "mod"),
            modulus=MODULUS,
            gap=0,
            first=0,
            stop=10,
            matches=2,
            compared=10,
            missing=0,
            log_ratio=-10.0,
            log_hypotheses=22.0,
            origin="seeds",
            seeding=seeding,
            seed=seed,
            offset=row % 3,
        )
        for row, seed in enumerate(rng.integers(1, 1 << 32, count).tolist())
    ]


def lay_out(folder: Path, made: Sequence[CandidateRecord], draws: int) -> StepRequest:
    """A workspace as steps 1 and 2 leave it, and the request to score it."""
    folder.mkdir()
    now = datetime.now(UTC)
    values = np.random.default_rng(2).integers(0, MODULUS, draws)
    facts = HistoryFacts(
        path="",
        sha256="",
        draws=draws,
        unread=0,
        low=0,
        modulus=MODULUS,
        draw_column="draw",
        sessions=(),
        streams=("all",),
        first_date=None,
        last_date=None,
    )
    history = DrawHistory(values, (None,) * draws, ("",) * draws, facts)
    train = draws * 4 // 5
    write_part(folder / TRAIN_FILE, history, 0, train)
    write_part(folder / HOLDOUT_FILE, history, train, draws)
    write_survivors(folder / SURVIVORS_FILE, made)
    window = WindowConfig(
        run_id="bench",
        created_at=now,
        history=facts,
        train=train,
        holdout=draws - train,
        verdict="nothing found",
        found=(),
        searches=(),
        power=(),
        hypotheses_tried=None,
        log10_hypotheses=9.6,
        survivors=len(made),
        train_sha256=sha256_file(folder / TRAIN_FILE),
        holdout_sha256=sha256_file(folder / HOLDOUT_FILE),
        survivors_sha256=sha256_file(folder / SURVIVORS_FILE),
        headline="",
    )
    scorer = ScorerConfig(
        run_id="bench",
        created_at=now,
        recency_draws=None,
        corruption=0.05,
        lane_weight=0.0,
        log_loss_default=None,
        log_loss_chosen=None,
        defaults_kept=True,
        sentence="",
    )
    write_document(folder / WINDOW_FILE, window)
    write_document(folder / SCORER_FILE, scorer)
    return StepRequest(
        run_id="bench",
        step=3,
        attempt=1,
        params={},
        inputs={name: str(folder / file) for name, file in FILES.items()},
        workspace=str(folder),
        policy_path=str(folder / "policies.json"),
        out_dir=str(folder),
    )


if __name__ == "__main__":
    raise SystemExit(main())
