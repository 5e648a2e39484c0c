"""Does a trained ranker foretell draws better than the likelihood ratio alone?

    python -m benchmarks.ranker --histories 120

Histories of java.util.Random that is seeded anew every R draws (R of 50 to 200, another for each
history), with a share of corrupted draws. At a place in each history the candidates are: every seed
used so far, as a search would have found it, and random seeds. Both contenders foretell the next
draws from the same candidates and the same draws before:

- ratio: the mixture of Step 6 (likelihood ratios and its hazard), and once more with the hazard
  that is right on average, which nobody knows beforehand;
- ranker: the same mixture, each weight times the probability that the candidate goes on, by a
  LightGBM classifier on Step 3's features and how long ago the candidate's last match was. It is
  trained on the other half of the histories: more than one history could ever teach it.

Printed: nats lost by the next draw, on average (guessing loses log M), and how often the likeliest
value was right.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass

import lightgbm
import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import machine_line
from steps.forensics.candidates import law_of, state_of
from steps.forensics.documents import CandidateRecord
from steps.forensics.matches import predicted_draws
from steps.forensics.mixture import Belief, Mixture, log_priors
from steps.prng.recovery.found import match_gain, miss_loss
from steps.prng.simulate_history import PseudoMachine, Scenario, simulate_history
from steps.step3_scoring.features import features_of
from steps.step3_scoring.measure import Record, measure
from steps.step3_scoring.parts_of_draws import parts_of

MODULUS = 1000
DRAWS = 500
AHEAD = 20
DECOYS = 30
# Seeds of 32 bits, gap and place unknown.
LOG_HYPOTHESES = math.log(2.0**32 * 501)
TEXTS = ("generator", "mapping")


@dataclass(frozen=True)
class Case:
    """Candidates at one place of one history. said: int64 (n, cut + AHEAD); goes_on: (n,)."""

    candidates: list[CandidateRecord]
    draws: NDArray[np.int64]
    cut: int
    said: NDArray[np.int64]
    features: NDArray[np.float64]
    goes_on: NDArray[np.bool_]
    belief: Belief


def make_case(rng: np.random.Generator, corruption: float) -> Case:
    """One history, cut at a random place."""
    every = int(rng.integers(50, 201))
    machine = PseudoMachine(
        generator="java", mapping="next_int", seeding="scramble", seed=int(rng.integers(1 << 32))
    )
    scenario = Scenario(
        modulus=MODULUS,
        count=DRAWS,
        machines=(machine,),
        corruption_rate=corruption,
        reseed_every=every,
    )
    made = simulate_history(scenario, rng)
    draws = np.array([record["draw"] for record in made.records], np.int64)
    cut = int(rng.integers(250, DRAWS - AHEAD))
    belief = Belief(MODULUS, max(corruption, 1e-3))
    seeds = [
        (seed, part * every)
        for part, seed in enumerate(made.truth.seeds[0])
        if part * every < cut - 5  # fewer draws no search could find
    ]
    seeds += [(int(seed), 0) for seed in rng.integers(0, 1 << 32, DECOYS)]
    candidates = [_candidate(seed, first, draws[:cut], belief) for seed, first in seeds]
    said = predicted_draws(candidates, 0, cut + AHEAD)
    begins = np.array([candidate.first for candidate in candidates])
    # Before it was seeded a generator has said nothing.
    said[np.arange(said.shape[1]) < begins[:, np.newaxis]] = -1
    real = np.arange(len(candidates)) < len(candidates) - DECOYS
    goes_on = real & (begins + every > cut)
    features = _features(candidates, said, draws, cut, belief)
    return Case(candidates, draws, cut, said, features, goes_on, belief)


def _candidate(seed: int, first: int, train: NDArray[np.int64], belief: Belief) -> CandidateRecord:
    plain = CandidateRecord(
        stream="all", generator="java", mapping="next_int", modulus=MODULUS, gap=0, first=first,
        stop=train.shape[0], matches=0, compared=0, missing=0, log_ratio=0.0,
        log_hypotheses=LOG_HYPOTHESES, origin="seeds", seeding="scramble", seed=seed, offset=0,
    )  # fmt: skip
    # Call 0 of the generator is draw `first` of the stream: as a state it says so.
    origin = plain.model_copy(update={"first": 0})
    state = tuple(int(word) for word in state_of(origin)[0])
    said = law_of(plain).draws(np.array([state], np.uint64), train.shape[0] - first)[0]
    gains = np.where(
        said == train[first:],
        match_gain(MODULUS, belief.corruption),
        miss_loss(belief.corruption),
    ).cumsum()
    stop = first + int(gains.argmax()) + 1
    return plain.model_copy(
        update={
            "seed": None, "seeding": None, "offset": None, "state": state, "stop": stop,
            "matches": int((said[: stop - first] == train[first:stop]).sum()),
            "compared": stop - first, "log_ratio": float(gains.max()),
        }
    )  # fmt: skip


def _features(
    candidates: list[CandidateRecord],
    said: NDArray[np.int64],
    draws: NDArray[np.int64],
    cut: int,
    belief: Belief,
) -> NDArray[np.float64]:
    parts = parts_of(MODULUS)
    record = Record(draws[:cut], draws[cut : cut + AHEAD], AHEAD)
    measured = measure(candidates, record, parts, belief, threads=1, should_stop=lambda: False)
    assert measured is not None
    columns = features_of(candidates, measured, record, parts, belief)
    hit = said[:, :cut] == draws[:cut]
    since = np.where(hit.any(axis=1), hit[:, ::-1].argmax(axis=1), cut)
    recent = hit[:, -20:].mean(axis=1)
    age = cut - np.array([candidate.first for candidate in candidates])
    numbers = [values for name, values in columns.items() if name not in TEXTS]
    return np.column_stack([*numbers, since, recent, age]).astype(np.float64)


def foretell(case: Case, hazard: float, goes_on: NDArray[np.float64] | None) -> tuple[float, bool]:
    """Nats lost by the next draw's probabilities, and whether the likeliest value was right."""
    belief = Belief(MODULUS, case.belief.corruption, hazard)
    mixture = Mixture(belief, log_priors(case.candidates))
    mixture.follow(case.said[:, : case.cut], case.draws[: case.cut])
    said = case.said[:, case.cut]
    if goes_on is None:
        chances = mixture.next_draw(said)
    else:
        weights = mixture.alive * goes_on
        weights /= max(1.0, float(weights.sum()))
        right = weights * (1 - belief.corruption)
        chances = np.full(MODULUS, (1 - right.sum()) / MODULUS)
        chances += np.bincount(said[said >= 0], right[said >= 0], MODULUS)
    draw = int(case.draws[case.cut])
    return -math.log(chances[draw]), int(chances.argmax()) == draw


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--histories", type=int, default=120, help="a row; half to train on")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    print(machine_line())
    print(f"{asked.histories} histories of {DRAWS} draws a row, log M = {math.log(MODULUS):.3f}\n")
    print(
        "| corrupted | ratio: nats | right | hazard known: nats | right | ranker: nats | right "
        "| gain on ratio |"
    )
    print("|--:|--:|--:|--:|--:|--:|--:|--:|")
    for corruption in (0.0, 0.1, 0.2):
        rng = np.random.default_rng([asked.seed, int(100 * corruption)])
        cases = [make_case(rng, corruption) for _ in range(asked.histories)]
        half = len(cases) // 2
        learnt, judged = cases[:half], cases[half:]
        model = lightgbm.LGBMClassifier(
            n_estimators=200, num_leaves=15, min_child_samples=10, verbose=-1, random_state=0
        )
        model.fit(
            np.concatenate([case.features for case in learnt]),
            np.concatenate([case.goes_on for case in learnt]),
        )
        plain = [foretell(case, 1e-3, None) for case in judged]
        known = [foretell(case, 1 / 125, None) for case in judged]
        ranked = [foretell(case, 1e-3, model.predict_proba(case.features)[:, 1]) for case in judged]
        cells = [f"{corruption:.0%}"]
        for results in (plain, known, ranked):
            cells += [
                f"{np.mean([loss for loss, _ in results]):.3f}",
                f"{np.mean([right for _, right in results]):.0%}",
            ]
        gains = np.array([one[0] - other[0] for one, other in zip(plain, ranked, strict=True)])
        cells.append(f"{gains.mean():+.3f} ± {gains.std(ddof=1) / math.sqrt(gains.size):.3f}")
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
