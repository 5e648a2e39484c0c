"""What the document says where no candidate for a generator is beyond chance."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from steps.forensics.wording import p_text
from steps.prng.recovery.found import ALPHA
from steps.step6_prediction.evidence import Evidence
from steps.step6_prediction.fairness import REGIMES_REPORT
from steps.step6_prediction.guesses import GUESSES
from steps.step6_prediction.power_wording import draws_wanted, in_all, power_sentences
from steps.step6_prediction.replay import pools_of
from steps.step6_prediction.wording import machine, search_sentence, tested, unmade_sentences

_CAUSES = (
    "A biased or worn machine, faulty records, a wrong range of the game (draw_min, draw_max) and "
    "a generator that was not searched for may all give such draws; the tests do not tell which."
)


def too_few(evidence: Evidence) -> dict[str, Any]:
    """No search could be made, and how many draws would do for the first."""
    window = evidence.window
    row, wanted, enough = draws_wanted(window), None, ""
    if row is not None and row.draws_wanted is not None:
        wanted = in_all(window, row.draws_wanted)
        enough = (
            f" About {wanted} draws in all would do for {row.generator} {row.mapping}; other "
            "generators want more."
        )
    return {
        "verdict": "insufficient data",
        "headline": f"Insufficient data: {window.history.draws} draws are too few for any search."
        f"{enough}",
        "explanation": (
            window.headline,
            *unmade_sentences(window),
            *evidence.fairness.sentences,
            *power_sentences(window),
        ),
        "draws_wanted": wanted,
    }


def better_than_chance(evidence: Evidence, rng: np.random.Generator) -> dict[str, Any]:
    """Something predicts, and no candidate is beyond doubt: more draws will tell."""
    replay, leader = evidence.replay, evidence.replay.leader
    assert leader is not None  # noqa: S101  # without one the replay is chance
    replayed = [test for test in evidence.tests if test.name not in GUESSES]
    best = min(replayed, key=lambda test: test.p_value)
    low = evidence.window.history.low
    gain = replay.log_loss_uniform - (replay.log_loss or 0.0)
    wanted = None
    if gain > 0:  # nats a draw, until the size of the search is paid for
        short = max(0.0, -math.log(ALPHA) - leader.score)
        wanted = evidence.known.draws.size + max(1, math.ceil(short / gain))
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
            *evidence.fairness.sentences,
        ),
        **pools_of(replay.next_draw, low, rng),
        "stream": leader.stream,
        "confidence": float(replay.next_draw.max()),
        "draws_wanted": wanted,
    }


def not_uniform(evidence: Evidence) -> dict[str, Any]:
    """No generator, and no fair machine either."""
    fairness, foretold, cycle = evidence.fairness, evidence.foretold_by, evidence.window.cycle
    said = []
    if cycle is not None:
        before = "the draw before" if cycle == 1 else f"the draw {cycle} draws before"
        said.append(f" Most draws learnt from equal {before}.")
    if fairness.rejected:
        said.append(f" Step 0's tests: {fairness.named}; see {REGIMES_REPORT}.")
    if foretold:
        said.append(f" A simple rule foretells draws: {tested(foretold[0])}")
    return {
        "verdict": "not uniform",
        "headline": "Not uniform: no generator was found, but the draws are not uniform and "
        f"independent.{''.join(said)}",
        "explanation": (
            *_foretold(evidence),
            *fairness.sentences,
            _CAUSES,
            *_searched(evidence),
        ),
    }


def chance(evidence: Evidence) -> dict[str, Any]:
    """Nothing was found, and nothing foretells: with the tests, and what would have been found."""
    tests = evidence.tests
    said = f" {tested(tests[0])}" if tests else ""
    return {
        "verdict": "no better than chance",
        "headline": f"No better than chance: {search_sentence(evidence.window)}{said}",
        "explanation": (
            search_sentence(evidence.window),
            *evidence.fairness.sentences,
            *_searched(evidence)[1:],
        ),
    }


def _searched(evidence: Evidence) -> tuple[str, ...]:
    """What was looked for without success, and what would have been found."""
    window, reason = evidence.window, evidence.step5.reason
    return (
        search_sentence(window),
        *unmade_sentences(window),
        *(tested(test) for test in evidence.tests),
        f"{reason[:1].upper()}{reason[1:]}.",
        *power_sentences(window),
    )


def _foretold(evidence: Evidence) -> tuple[str, ...]:
    """How well simple rules do, where they do."""
    if not evidence.foretold_by:
        return ()
    return (
        "Rules learnt from the earlier draws alone foretell those held back: that is no generator, "
        "and no state is claimed.",
    )
