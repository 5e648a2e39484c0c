"""Is true randomness ever called found? Every method is asked about draws of no generator.

The draws are the operating system's, so each run sees others. Lengths go from 100 to 2,000, M is
1000, 100 or 10 in turn, gaps up to 20 where a gap takes well under a second; every other history is
searched as if draws were corrupted, every fourth as if some were missing. Every hundredth has draws
enough for a Mersenne twister.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.figures import markdown
from benchmarks.recovery_cells import ALGEBRA, SEARCHED
from steps.prng import MappingError, generator_named, mapping_named
from steps.prng.generators.lcg import Lcg32, Minstd
from steps.prng.generators.mersenne import MersenneTwister
from steps.prng.recovery.algebra import recover_state
from steps.prng.recovery.brute_force import search_seeds
from steps.prng.recovery.found import ALPHA, CannotRecover, Search
from steps.prng.recovery.question import Question
from steps.prng.recovery.seed_lanes import lanes_of
from steps.prng.simulate_history import true_draws

MODULI = (1000, 100, 10)
_SHORTEST, _LONGEST = 100, 2000
_TWISTER_EVERY, _TWISTER_DRAWS = 100, 9000
_GAPS = range(21)
# minstd and lcg32 try 2^31 / M states a gap.
_WHOLE_OUTPUT_GAPS = {1000: range(21), 100: range(3), 10: range(1)}
_SEED_GAPS = (0, 1)
_SEEDS = range(1 << 16)
# A draw of 0..9 shows one bit, and subsets of clean draws are soon hopeless.
_CORRUPTION = {1000: 0.05, 100: 0.05, 10: 0.01}
_MISSING = 0.005

# What a search came to: found, not found, stopped at its budget, or nothing that it could do.
FOUND, NONE, STOPPED, REFUSED = "found", "none", "stopped", "refused"


@dataclass(frozen=True, slots=True)
class Asked:
    """One history. answers: by method; detail: of what was found."""

    key: str
    modulus: int
    draws: int
    corruption: float
    missing: float
    answers: dict[str, str]
    detail: list[str]
    cpu_s: float


def key_of(number: int) -> str:
    """What the line of history number `number` is known by."""
    return f"alarms/{number}"


def ask(number: int, budget_s: float) -> Asked:
    """Ask every method about history `number`; a search ends soon after budget_s of CPU time."""
    started = time.process_time()
    twister = number % _TWISTER_EVERY == 0
    modulus = 1000 if twister else MODULI[number % len(MODULI)]
    rng = np.random.default_rng(number)
    drawn = round(float(np.exp(rng.uniform(np.log(_SHORTEST), np.log(_LONGEST)))))
    draws = true_draws(_TWISTER_DRAWS if twister else drawn, modulus)
    corruption = _CORRUPTION[modulus] if number % 2 and not twister else 0.0
    missing = _MISSING if number % 4 == 3 else 0.0
    answers: dict[str, str] = {}
    detail = []
    for name, search in _searches(draws, modulus, corruption, missing, budget_s, twister):
        try:
            outcome = search()
        except (CannotRecover, MappingError):
            answers[name] = REFUSED
            continue
        if outcome.found is not None:
            answers[name] = FOUND
            detail.append(f"{name}: {outcome.found}")
        else:
            answers[name] = NONE if outcome.complete else STOPPED
    return Asked(
        key=key_of(number),
        modulus=modulus,
        draws=draws.shape[0],
        corruption=corruption,
        missing=missing,
        answers=answers,
        detail=detail,
        cpu_s=round(time.process_time() - started, 2),
    )


def summary(asked: Sequence[Asked]) -> str:
    """Markdown: a row a method, and a sentence over all."""
    counts: dict[str, Counter[str]] = {}
    for history in asked:
        for name, answer in history.answers.items():
            counts.setdefault(name, Counter())[answer] += 1
    heads = ["method", "searches", "found", "stopped", "too few draws, or no method"]
    rows = [
        [
            name,
            *(str(number) for number in (_searched(own), own[FOUND], own[STOPPED], own[REFUSED])),
        ]
        for name, own in counts.items()
    ]
    histories = sum(any(answer == FOUND for answer in one.answers.values()) for one in asked)
    searches = sum(_searched(own) for own in counts.values())
    seconds = sum(one.cpu_s for one in asked)
    return (
        markdown(heads, rows)
        + f"\n\n{histories} of {len(asked)} random histories with something found in {searches} "
        f"searches, of which alpha = {ALPHA:g} allows {searches * ALPHA:.2g}; "
        f"{seconds:.0f} s of CPU time."
    )


def _searched(own: Counter[str]) -> int:
    return own[FOUND] + own[NONE] + own[STOPPED]


def _searches(
    draws: np.ndarray,
    modulus: int,
    corruption: float,
    missing: float,
    budget_s: float,
    twister: bool,
) -> Iterator[tuple[str, Callable[[], Search]]]:
    """Every method by name, to be called with the clock started."""

    def question(generator: str, mapping: str, gaps: Sequence[int], missing: float) -> Question:
        deadline = time.process_time() + budget_s
        return Question(
            generator_named(generator),
            mapping_named(mapping),
            modulus,
            draws,
            gaps,
            corruption,
            missing,
            should_stop=lambda: time.process_time() > deadline,
        )

    for generator, all_mappings in ALGEBRA.items():
        mappings, gaps = all_mappings, _GAPS
        match generator_named(generator):
            case MersenneTwister() if not twister:
                continue
            case MersenneTwister():
                mappings, gaps = all_mappings[:1], range(1)
            case Minstd() | Lcg32():
                gaps = _WHOLE_OUTPUT_GAPS[modulus]
        for mapping in mappings:
            yield (
                f"{generator} {mapping}",
                lambda generator=generator, mapping=mapping, gaps=gaps: recover_state(
                    question(generator, mapping, gaps, missing)
                ),
            )
    for generator, mapping, seeding in SEARCHED:
        if lanes_of(generator, seeding) is not None:
            yield (
                f"{generator} {mapping}, seeds",
                lambda generator=generator, mapping=mapping, seeding=seeding: (
                    search_seeds(
                        question(generator, mapping, _SEED_GAPS, 0.0), seeding, seeds=_SEEDS
                    ).search
                ),
            )
