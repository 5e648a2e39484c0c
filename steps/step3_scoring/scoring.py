"""Score survivors and controls: rows of a table that Step 5 can learn from, wherever one can."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steps.forensics.candidates import proven
from steps.forensics.documents import CandidateRecord
from steps.forensics.history import DrawHistory
from steps.forensics.mixture import Belief
from steps.forensics.scored import CANDIDATE_ID, TARGET, TRIALS
from steps.step3_scoring.controls import controls_wanted, draw_controls
from steps.step3_scoring.features import Features, features_of, useful
from steps.step3_scoring.measure import Record, measure
from steps.step3_scoring.parts_of_draws import parts_of

# Rows with another target than the commonest: with so many, each fold has one but for one case in
# a thousand (6 * 0.84^50, the smallest part being 16 % of the rows).
_VARIED_ROWS = 50

Rows = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Scored:
    """The table's columns in order, and what is to be said of it; see ScoredFacts.

    unjudged: candidates of streams without a draw that was held back, left out.
    """

    columns: dict[str, Any]
    feature_names: tuple[str, ...]
    dropped: dict[str, str]
    survivors: int
    controls: int
    copies: int
    unjudged: int
    trials: int
    nothing_to_learn: str | None


def records_of(
    train: DrawHistory, holdout: DrawHistory, streams: Sequence[str]
) -> dict[str, Record]:
    """The record of each stream. All have the same number of trials: that of the stream with the
    fewest readable draws held back, streams without any aside.

    A count out of more draws is larger for every candidate alike; a model would learn that.
    """
    parts = {stream: (train.stream(stream), holdout.stream(stream)) for stream in streams}
    readable = {stream: int(np.count_nonzero(part[1] >= 0)) for stream, part in parts.items()}
    trials = min((count for count in readable.values() if count), default=0)
    return {
        stream: Record(*part, trials if readable[stream] else 0) for stream, part in parts.items()
    }


def score(
    survivors: Sequence[CandidateRecord],
    records: Mapping[str, Record],
    belief: Belief,
    *,
    table_rows: int,
    seed: int,
    threads: int,
    should_stop: Callable[[], bool],
) -> Scored | None:
    """Score all but the proven; None where it was told to stop. Rows: survivors, then controls."""
    trials = max((record.trials for record in records.values()), default=0)
    unjudged = sum(records[candidate.stream].trials == 0 for candidate in survivors)
    judged = [row for row, c in enumerate(survivors) if records[c.stream].trials]
    doubtful = [survivors[row] for row in judged if not proven(survivors[row])]
    wanted = controls_wanted(len(doubtful), table_rows, trials, belief.modulus)
    controls = draw_controls(doubtful, wanted, seed)
    candidates = [*(survivors[row] for row in judged), *controls]
    ids = [*(f"s{row + 1}" for row in judged), *(f"c{row + 1}" for row in range(wanted))]
    parts = parts_of(belief.modulus)
    hits = np.zeros(len(candidates), np.int64)
    kept = np.zeros(len(candidates), np.bool_)
    blocks: list[tuple[Rows, dict[str, NDArray[Any]]]] = []
    copies = 0
    for stream, record in records.items():
        rows = np.array([r for r, c in enumerate(candidates) if c.stream == stream], np.intp)
        mine = [candidates[row] for row in rows]
        measured = measure(mine, record, parts, belief, threads=threads, should_stop=should_stop)
        if measured is None:
            return None
        hits[rows] = measured.hits
        alone = ~_repeats(mine, measured.keys)
        known = np.array([proven(candidate) for candidate in mine], np.bool_)
        copies += int(np.count_nonzero(~alone & ~known))
        kept[rows] = alone & ~known
        blocks.append((rows, features_of(mine, measured, record, parts, belief)))
    columns = {name: values[kept] for name, values in _joined(blocks, len(candidates)).items()}
    features = useful(columns)
    target = hits[kept]
    n_survivors = int(np.count_nonzero(kept[: len(judged)]))
    table: dict[str, Any] = {
        CANDIDATE_ID: np.array(ids, np.str_)[kept],
        **features.columns,
        TARGET: target,
        TRIALS: np.full(target.size, trials),
    }
    return Scored(
        columns=table,
        feature_names=tuple(features.columns),
        dropped=features.dropped,
        survivors=n_survivors,
        controls=target.size - n_survivors,
        copies=copies,
        unjudged=unjudged,
        trials=trials,
        nothing_to_learn=_nothing_to_learn(survivors, n_survivors, trials, target, features),
    )


def _repeats(candidates: Sequence[CandidateRecord], keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Which candidates (n,) say in all draws, whole or modulo a prime power of M, what a better
    one says. Such rows hit and miss together, and would be taken for independent witnesses.
    """
    # Of equal scores the earlier one: survivors stand before controls.
    score = np.array([candidate.score for candidate in candidates], np.float64)
    order = np.argsort(-score, kind="stable")
    repeats = np.zeros(len(candidates), np.bool_)
    for place in range(keys.shape[1]):
        own = keys[order, place]
        _, firsts = np.unique(own, return_index=True)
        again = np.ones(own.size, np.bool_)
        again[firsts] = False
        repeats[order[again & (own != 0)]] = True
    return repeats


def _joined(
    blocks: Sequence[tuple[Rows, dict[str, NDArray[Any]]]], rows: int
) -> dict[str, NDArray[Any]]:
    """Features of all streams, in the order of the candidates."""
    if not blocks:
        return {}
    order = np.argsort(np.concatenate([places for places, _ in blocks]), kind="stable")
    assert order.size == rows  # noqa: S101  # every candidate has a stream
    return {
        name: np.concatenate([features[name] for _, features in blocks])[order]
        for name in blocks[0][1]
    }


def _nothing_to_learn(
    survivors: Sequence[CandidateRecord],
    left: int,
    trials: int,
    target: NDArray[np.int64],
    features: Features,
) -> str | None:
    if not survivors:
        return "no candidate survived the search"
    if trials == 0:
        return "no draw was held back to judge candidates by"
    if left == 0:
        return "every candidate that survived is beyond chance already, or the copy of one"
    commonest = int(np.bincount(target).max())
    if target.size - commonest < _VARIED_ROWS:
        return (
            f"{commonest} of {target.size} candidates, controls among them, hit the same number of "
            f"the {trials} draws held back; more draws held back would tell them apart"
        )
    if not features.columns:
        return "no feature differs between the candidates"
    return None
