"""Decide what the evidence comes to, in one of three words, and put it into the document."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from steps.forensics.documents import HypothesisTest, PoolDraw, Prediction, WindowConfig
from steps.forensics.matches import predicted_draws
from steps.forensics.multiplicity import corrected
from steps.prng.recovery.found import ALPHA
from steps.step6_prediction.following import Followed, hazard_now
from steps.step6_prediction.known import Known
from steps.step6_prediction.replay import POOLS, Replay, pool_of
from steps.step6_prediction.step5 import Step5
from steps.step6_prediction.wording import (
    confidence_sentence,
    draws_wanted,
    ended_sentence,
    explained,
    lasted_sentences,
    machine,
    p_text,
    power_sentences,
    search_sentence,
    seed_sentences,
    tested,
    unmade_sentences,
)

# A replay speaks for a mixture only where a test rejects chance at this, corrected for all tests.
REPLAY_ALPHA = 0.01

# Proven candidates that are told of beside the source.
_OTHERS = 5

Finding = Literal["goes on", "ended", "too few draws", "better than chance", "chance"]


@dataclass(frozen=True, eq=False)
class Evidence:
    """All that the verdict rests on. followed: the candidates beyond chance."""

    window: WindowConfig
    known: Known
    followed: tuple[Followed, ...]
    replay: Replay
    step5: Step5

    @property
    def source(self) -> Followed | None:
        """The candidate that speaks for the history: of those that go on, else of all, the best."""
        going = [followed for followed in self.followed if followed.goes_on]
        return max(going or self.followed, key=lambda f: f.score, default=None)

    @property
    def others(self) -> tuple[Followed, ...]:
        """Those beyond chance that say something else than the source, the best first.

        What holds for all draws holds for those of each session: these are not told again.
        """
        source = self.source
        if source is None:
            return ()
        told = {_next(source, self.known)}
        others = []
        for other in sorted(self.followed, key=lambda f: -f.score):
            of_session = "all" == source.source.stream != other.source.stream
            if other is not source and not of_session and _next(other, self.known) not in told:
                told.add(_next(other, self.known))
                others.append(other)
        return tuple(others[:_OTHERS])

    @property
    def tests(self) -> tuple[HypothesisTest, ...]:
        """All tests of the document, corrected for each other."""
        tests = list(self.replay.tests)
        source = self.source
        if source is not None and source.holdout_trials:
            tests.append(
                HypothesisTest(
                    name="draws held back",
                    statistic=source.holdout_hits,
                    p_value=source.p_value,
                    p_corrected=source.p_value,
                    hypotheses=source.looked_at,
                    sentence=f"{source.holdout_hits} of {source.holdout_trials} draws held back "
                    f"were foretold by {machine(source.recorded)}",
                )
            )
        return corrected(tests)


def find(evidence: Evidence) -> Finding:
    """What the evidence comes to. A mixture of unproven candidates counts only where Step 5 saw a
    signal in them and the replay rejects chance.
    """
    source = evidence.source
    if source is not None:
        return "goes on" if source.goes_on else "ended"
    if evidence.window.verdict == "insufficient data":
        return "too few draws"
    rejects = any(test.p_corrected <= REPLAY_ALPHA for test in evidence.tests)
    if evidence.step5.signal in {"weak", "strong"} and rejects:
        return "better than chance"
    return "chance"


def predict(
    evidence: Evidence, run_id: str, now: datetime, *, next_count: int, rng: np.random.Generator
) -> Prediction:
    """The document for what `find` says."""
    window, replay, step5 = evidence.window, evidence.replay, evidence.step5
    common: dict[str, Any] = {
        "run_id": run_id,
        "created_at": now,
        "tests": evidence.tests,
        "log_loss": replay.log_loss,
        "log_loss_uniform": replay.log_loss_uniform if replay.trials else None,
        "hypotheses_tried": window.hypotheses_tried,
        "log10_hypotheses": window.log10_hypotheses,
        "power": window.power,
        "model_run_id": step5.run_id,
        "signal": step5.signal,
    }
    source = evidence.source
    match find(evidence):
        case "goes on":
            assert source is not None  # noqa: S101  # what find says
            return Prediction(**common, **_goes_on(evidence, source, next_count, rng))
        case "ended":
            assert source is not None  # noqa: S101
            return Prediction(**common, **_ended(evidence, source))
        case "too few draws":
            return Prediction(**common, **_too_few(evidence))
        case "better than chance":
            return Prediction(**common, **_better_than_chance(evidence, rng))
        case "chance":
            return Prediction(**common, **_chance(evidence))


def _goes_on(
    evidence: Evidence, followed: Followed, next_count: int, rng: np.random.Generator
) -> dict[str, Any]:
    source = followed.source
    low = evidence.window.history.low
    count = evidence.known.stream(source.stream).size
    ahead = predicted_draws([source], count, next_count)[0]
    before = [
        other
        for other in evidence.followed
        if other is not followed and other.source.stream == source.stream
    ]
    hazard = hazard_now(followed, before, count, followed.mixture.belief.hazard)
    probabilities = followed.mixture.next_draw(ahead[:1], hazard)
    value, confidence = int(ahead[0]) + low, float(probabilities[ahead[0]])
    seed = f" from the seed {source.seed}" if source.seed is not None else ""
    held = (
        f", and foretold {followed.holdout_hits} of {followed.holdout_trials} draws held back"
        if followed.holdout_trials
        else ""
    )
    return {
        "verdict": "seed found",
        "headline": f"Seed found: {machine(source)}{seed} made {source.matches} of "
        f"{source.compared} draws{held}; the next one is {value} with a probability of "
        f"{confidence:.4g}.",
        "explanation": (
            *seed_sentences(followed, evidence.others, evidence.window),
            confidence_sentence(value, confidence, followed, hazard),
            *lasted_sentences(before, count - source.first),
        ),
        **_pools(probabilities, low, rng),
        "next_draws": tuple(int(draw) + low for draw in ahead),
        "stream": source.stream,
        "confidence": confidence,
        "source": source,
    }


def _ended(evidence: Evidence, followed: Followed) -> dict[str, Any]:
    source = followed.source
    return {
        "verdict": "seed found",
        "headline": f"Seed found, and no longer in force: {machine(source)} explains "
        f"{explained(source)}; it does not predict the draws after them.",
        "explanation": (
            *seed_sentences(followed, evidence.others, evidence.window),
            ended_sentence(followed),
        ),
        "stream": source.stream,
        "source": source,
    }


def _too_few(evidence: Evidence) -> dict[str, Any]:
    window = evidence.window
    wanted = draws_wanted(window)
    enough = f" About {wanted} draws would do for a first search." if wanted is not None else ""
    return {
        "verdict": "insufficient data",
        "headline": f"Insufficient data: {window.history.draws} draws are too few for any search."
        f"{enough}",
        "explanation": (window.headline, *unmade_sentences(window), *power_sentences(window)),
        "draws_wanted": wanted,
    }


def _better_than_chance(evidence: Evidence, rng: np.random.Generator) -> dict[str, Any]:
    """Something predicts, and no candidate is beyond doubt: more draws will tell."""
    replay, leader = evidence.replay, evidence.replay.leader
    assert leader is not None  # noqa: S101  # without one the replay is chance
    best = min(evidence.tests, key=lambda test: test.p_value)
    low = evidence.window.history.low
    gain = replay.log_loss_uniform - (replay.log_loss or 0.0)
    wanted = None
    if gain > 0:  # nats a draw, until the size of the search is paid for
        wanted = evidence.known.draws.size + math.ceil(
            max(0.0, -math.log(ALPHA) - leader.score) / gain
        )
    return {
        "verdict": "insufficient data",
        "headline": "Insufficient data: the draws held back were foretold better than chance "
        f"(p {p_text(best.p_corrected)}), and no candidate is beyond doubt yet.",
        "explanation": (
            search_sentence(evidence.window),
            f"{evidence.step5.reason}.",
            *(tested(test) for test in evidence.tests),
            f"The likeliest candidate is {machine(leader)}. It is not proven: the pools rest on a "
            "mixture of candidates, each with its probability.",
        ),
        **_pools(replay.next_draw, low, rng),
        "stream": leader.stream,
        "confidence": float(replay.next_draw.max()),
        "draws_wanted": wanted,
    }


def _chance(evidence: Evidence) -> dict[str, Any]:
    window, tests = evidence.window, evidence.tests
    said = f" {tested(tests[0])}" if tests else ""
    return {
        "verdict": "no better than chance",
        "headline": f"No better than chance: {search_sentence(window)}{said}",
        "explanation": (
            search_sentence(window),
            *unmade_sentences(window),
            *(tested(test) for test in tests),
            f"{evidence.step5.reason[:1].upper()}{evidence.step5.reason[1:]}.",
            *power_sentences(window),
        ),
    }


def _pools(
    probabilities: NDArray[np.float64], low: int, rng: np.random.Generator
) -> dict[str, Any]:
    """Candidates and pools, in the history's own values; never more than there are."""
    widest = pool_of(probabilities, max(POOLS.values()), rng)
    return {
        "candidates": tuple(
            PoolDraw(draw=value + low, probability=float(probabilities[value])) for value in widest
        ),
        "pools": {
            name: tuple(value + low for value in widest[:size]) for name, size in POOLS.items()
        },
    }


def _next(followed: Followed, known: Known) -> tuple[str, tuple[int, ...]]:
    """What a candidate says of the draws to come: by this two are told apart."""
    stream = followed.source.stream
    ahead = predicted_draws([followed.source], known.stream(stream).size, 10, threads=1)[0]
    return stream, tuple(ahead.tolist())
