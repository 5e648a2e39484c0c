"""Put what the evidence comes to into the document, in one of four words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steps.forensics.documents import Prediction, StreamPrediction
from steps.forensics.history import ALL
from steps.forensics.matches import predicted_draws
from steps.step6_prediction.evidence import Evidence, find
from steps.step6_prediction.following import Followed, hazard_now
from steps.step6_prediction.no_source import better_than_chance, chance, not_uniform, too_few
from steps.step6_prediction.replay import pools_of
from steps.step6_prediction.stretches import (
    after,
    ended_sentence,
    lasted_sentences,
    rest_words,
    states_sentences,
    states_words,
)
from steps.step6_prediction.wording import (
    confidence_sentence,
    held_back_sentence,
    machine,
    seed_sentences,
    seed_words,
)


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
            return Prediction(**common, **too_few(evidence))
        case "better than chance":
            return Prediction(**common, **better_than_chance(evidence, rng))
        case "not uniform":
            return Prediction(**common, **not_uniform(evidence))
        case "chance":
            return Prediction(**common, **chance(evidence))


@dataclass(frozen=True, eq=False)
class _Ahead:
    """The next draws that a source foretells, in the history's own values.

    before: the sources of its stream that ended before it; hazard: the chance that it ends, too;
    probabilities (M,): of each value of the first draw.
    """

    draws: tuple[int, ...]
    before: list[Followed]
    hazard: float
    probabilities: NDArray[np.float64]
    confidence: float


def _ahead(evidence: Evidence, followed: Followed, next_count: int) -> _Ahead:
    source, low = followed.source, evidence.window.history.low
    count = evidence.known.stream(source.stream).size
    said = predicted_draws([source], count, next_count)[0]
    before = [
        other
        for other in evidence.followed
        if other is not followed and other.source.stream == source.stream
    ]
    hazard = hazard_now(followed, before, count, followed.mixture.belief.hazard)
    probabilities = followed.mixture.next_draw(said[:1], hazard)
    return _Ahead(
        tuple(int(draw) + low for draw in said),
        before,
        hazard,
        probabilities,
        float(probabilities[said[0]]),
    )


def _goes_on(
    evidence: Evidence, followed: Followed, next_count: int, rng: np.random.Generator
) -> dict[str, Any]:
    source, ahead = followed.source, _ahead(evidence, followed, next_count)
    held = (
        f", and foretold {followed.holdout_hits} of {followed.holdout_trials} draws held back"
        if followed.holdout_trials
        else ""
    )
    others = [(other, _ahead(evidence, other, next_count)) for other in evidence.other_streams]
    of = "" if source.stream == ALL else f" of {source.stream}"
    next_ones = "".join(
        f"; the next one of {other.source.stream} is {it.draws[0]} with {it.confidence:.4g}"
        for other, it in others
    )
    age = evidence.known.stream(source.stream).size - source.first
    return {
        "verdict": "seed found",
        "headline": f"Seed found: {machine(source)}{seed_words(source)} made {source.matches} of "
        f"{source.compared} draws{of}{held}; the next one{of} is {ahead.draws[0]} with a "
        f"probability of {ahead.confidence:.4g}{next_ones}.",
        "explanation": (
            *seed_sentences(followed, evidence.others, evidence.window),
            confidence_sentence(ahead.draws[0], ahead.confidence, followed, ahead.hazard),
            *(
                sentence
                for other, it in others
                for sentence in (
                    *([held_back_sentence(other)] if other.holdout_trials else []),
                    confidence_sentence(it.draws[0], it.confidence, other, it.hazard),
                )
            ),
            *states_sentences(evidence.states),
            *lasted_sentences(ahead.before, age),
            *_uneven(evidence),
        ),
        **pools_of(ahead.probabilities, evidence.window.history.low, rng),
        "next_draws": ahead.draws,
        "stream": source.stream,
        "confidence": ahead.confidence,
        "source": source,
        "other_streams": tuple(
            StreamPrediction(
                stream=other.source.stream,
                next_draws=it.draws,
                confidence=it.confidence,
                source=other.source,
            )
            for other, it in others
        ),
    }


def _ended(evidence: Evidence, followed: Followed) -> dict[str, Any]:
    source, states = followed.source, evidence.states
    rest = after(states, evidence.known)
    return {
        "verdict": "seed found",
        "headline": f"Seed found, and no next draw is foretold: "
        f"{states_words(states, evidence.known)}, but not {rest_words(rest)} on record.",
        "explanation": (
            *seed_sentences(followed, evidence.others, evidence.window),
            *states_sentences(states),
            ended_sentence(followed, rest),
            *_uneven(evidence),
        ),
        "stream": source.stream,
        "source": source,
    }


def _uneven(evidence: Evidence) -> tuple[str, ...]:
    """That the draws are not uniform, too, where a source was found."""
    return evidence.fairness.sentences[:1] if evidence.fairness.rejected else ()
