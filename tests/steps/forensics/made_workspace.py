"""Workspaces as steps 1 and 2 leave them, made from a simulation, with candidates to choose."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

from steps.contract import StepRequest
from steps.files import sha256_file
from steps.forensics.candidates import write_survivors
from steps.forensics.documents import (
    HOLDOUT_FILE,
    REGIMES_FILE,
    SCORED_FILE,
    SCORER_FILE,
    SURVIVORS_FILE,
    TRAIN_FILE,
    WINDOW_FILE,
    CandidateRecord,
    HistoryFacts,
    PowerRow,
    ScorerConfig,
    SearchRecord,
    WindowConfig,
    write_document,
)
from steps.forensics.history import DrawHistory
from steps.forensics.parts import write_part
from steps.prng.simulate_history import PseudoMachine, Scenario, TrueMachine, simulate_history

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FILES = {
    "window": WINDOW_FILE,
    "scorer": SCORER_FILE,
    "train": TRAIN_FILE,
    "holdout": HOLDOUT_FILE,
    "survivors": SURVIVORS_FILE,
    "scored": SCORED_FILE,
    "regimes": REGIMES_FILE,
}
JAVA = PseudoMachine(generator="java", mapping="next_int", seeding="scramble", seed=31337)
LOG_HYPOTHESES = 22.0


def noise(n):
    """Bytes that are always the same, for machines of true randomness."""
    return np.random.default_rng(n).bytes(n)


def made_history(machine=JAVA, count=300, modulus=1000, rng=5, machines=None, **scenario):
    """A simulated history, and its truth."""
    wish = Scenario(
        modulus=modulus,
        count=count,
        machines=machines or (machine,),
        **{"sessions": ("",), **scenario},
    )
    made = simulate_history(wish, np.random.default_rng(rng), noise)
    draws = np.array([record["draw"] for record in made.records], np.int64)
    sessions = tuple(record["session"] for record in made.records)
    names = tuple(dict.fromkeys(sessions))
    facts = HistoryFacts(
        path="draw_history.json",
        sha256="0" * 64,
        draws=count,
        unread=0,
        low=0,
        modulus=modulus,
        draw_column="draw",
        sessions=names if len(names) > 1 else (),
        streams=("all", *(f"session {name}" for name in names if len(names) > 1)),
        first_date=None,
        last_date=None,
    )
    return DrawHistory(draws, (None,) * count, sessions, facts), made.truth


def true_history(**scenario):
    """A history of true randomness."""
    return made_history(TrueMachine(), **scenario)


def candidate(seed, **values):
    """A survivor of a search over java's seeds, right by chance in a few draws."""
    usual = {
        "stream": "all",
        "generator": "java",
        "mapping": "next_int",
        "modulus": 1000,
        "gap": 0,
        "first": 0,
        "stop": 3,
        "matches": 3,
        "compared": 3,
        "missing": 0,
        "log_ratio": 18.0,
        "log_hypotheses": LOG_HYPOTHESES,
        "origin": "seeds",
        "seeding": "scramble",
        "seed": seed,
        "offset": 0,
    }
    return CandidateRecord(**{**usual, **values})


def found(stop, seed=31337, **values):
    """The candidate that made draws 0..stop - 1, beyond chance."""
    usual = {"stop": stop, "matches": stop, "compared": stop, "log_ratio": 6.8 * stop - 2}
    return candidate(seed, **{**usual, **values})


def lay_out(
    folder,
    history,
    survivors,
    *,
    train,
    proven=(),
    scorer=None,
    verdict=None,
    power=(),
    draws=None,
    searches=(),
):
    """Write what steps 1 and 2 leave."""
    searches = searches or (
        SearchRecord(
            stream="all",
            first=0,
            stop=train,
            generator="java",
            mapping="next_int",
            method="seeds",
            seeding="scramble",
            candidates=len(survivors),
            best_score=-4.0,
            log10_hypotheses=9.6,
            draws_wanted=draws,
            complete=draws is None,
            not_tried=None if draws is None else "too few draws",
        ),
    )
    write_part(folder / TRAIN_FILE, history, 0, train)
    write_part(folder / HOLDOUT_FILE, history, train, history.draws.size)
    write_survivors(folder / SURVIVORS_FILE, survivors)
    window = WindowConfig(
        run_id="r1",
        created_at=NOW,
        history=history.facts,
        train=train,
        holdout=history.draws.size - train,
        verdict=verdict or ("seed found" if proven else "nothing found"),
        found=tuple(proven),
        searches=searches,
        power=power
        or (
            PowerRow(
                generator="java",
                mapping="next_int",
                method="algebra",
                corruption=0.1,
                largest_gap=10,
                draws_wanted=30,
                enough=True,
            ),
        ),
        hypotheses_tried=4_000_000_000,
        log10_hypotheses=9.6,
        survivors=len(survivors),
        train_sha256=sha256_file(folder / TRAIN_FILE),
        holdout_sha256=sha256_file(folder / HOLDOUT_FILE),
        survivors_sha256=sha256_file(folder / SURVIVORS_FILE),
        headline="made",
    )
    write_document(folder / WINDOW_FILE, window)
    write_document(
        folder / SCORER_FILE,
        scorer
        or ScorerConfig(
            run_id="r1",
            created_at=NOW,
            recency_draws=None,
            corruption=0.05,
            lane_weight=0.0,
            log_loss_default=None,
            log_loss_chosen=None,
            defaults_kept=True,
            sentence="made",
        ),
    )


def search(generator, mapping, method, **values):
    """A search that was made, unless it says otherwise."""
    usual = {"stream": "all", "first": 0, "stop": 100, "complete": True}
    return SearchRecord(
        **{**usual, "generator": generator, "mapping": mapping, "method": method, **values}
    )


def power(generator, mapping, method, corruption, *, enough, wanted=None, gap=0, seeds=None):
    """A row of what would have been caught."""
    return PowerRow(
        generator=generator,
        mapping=mapping,
        method=method,
        corruption=corruption,
        largest_gap=gap,
        draws_wanted=wanted,
        enough=enough,
        seeds=seeds,
    )


def request_for(folder, step, inputs=(), **params):
    """A request for a step in the folder. inputs: of FILES; all that are there unless named."""
    out = folder / ".watcher" / f"step{step}"
    out.mkdir(parents=True, exist_ok=True)
    names = inputs or [name for name, file in FILES.items() if (folder / file).is_file()]
    return StepRequest(
        run_id="r2",
        step=step,
        attempt=1,
        params=params,
        inputs={name: str(folder / FILES[name]) for name in names},
        workspace=str(folder),
        policy_path=str(folder / "watcher_policies.json"),
        out_dir=str(out),
    )
