"""Recover the state of a generator whose output is its state, by trying all that one draw allows.

minstd and the C library's TYPE_0 have 31 bits: a draw of 0..M-1 leaves 2^31 / M of them, for every
mapping and every M. Candidates are told by the number of their matches, and draws take turns as the
one relied on.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from steps.prng.base import Words
from steps.prng.generators.lcg import Minstd, TruncatedLcg, affine_power
from steps.prng.recovery.found import CannotRecover, Search
from steps.prng.recovery.looks import Looks, Odds, observations_wanted, plan_looks, tries_wanted
from steps.prng.recovery.question import Judge, Question
from steps.prng.recovery.shown import Numbers, Shown, show
from steps.prng.recovery.sieve_kernels import binary_candidates, prime_candidates
from steps.prng.recovery.windows import windows

_PRIME = (1 << 31) - 1
# Candidates kept of one pass; wrong ones come one in seven passes.
_KEPT = 64


def recover_whole_output(question: Question) -> Search:
    """Find state and gap of minstd_rand, minstd_rand0 or lcg32, wherever in their stream.

    All mappings, all M. A gap costs 2^31 / M candidates, a draw with corruption a few times that.
    Raises CannotRecover for another generator, TooFewDraws.
    """
    generator = question.generator
    whole = isinstance(generator, TruncatedLcg) and generator.state_bits == generator.word_bits
    if not whole and not isinstance(generator, Minstd):
        raise CannotRecover(f"the output of {generator.name} is not its state")
    seen = show(question)
    if seen.shift:
        raise CannotRecover(f"{question.name}: draws do not depend on the whole output")
    corruption = question.corruption
    by_chance = corruption if seen.per_draw == 1 else 0.0
    group = seen.per_draw
    odds = Odds(seen.chance, 1 - corruption + by_chance * seen.chance, group, group - 1)
    log_candidates = seen.bits * math.log(2) + math.log(seen.chance)
    wanted = observations_wanted(odds, log_candidates) + group
    draws = -(-wanted // group)
    judge = Judge(question, seen.bits * math.log(2))
    for shown in windows(question, seen, draws):
        plan = plan_looks(shown.draw.shape[0] - 1, odds, log_candidates)
        for gap in question.gaps:
            if question.should_stop():
                return judge.search(complete=False)
            places = shown.places(question, gap)
            origin = int(places[0] - shown.place[0])
            for draw in range(min(tries_wanted(odds.hit), draws)):
                anchor = draw * shown.per_draw
                back = origin - int(places[anchor]) - 1
                for state in _states(question, shown, places, anchor, plan):
                    before = generator.jump(state.reshape(1, 1), back)[0]
                    if judge.try_state(before, gap, int(shown.draw[0])):
                        return judge.search()
    return judge.search()


def _states(
    question: Question, shown: Shown, places: Numbers, anchor: int, plan: Looks | None
) -> Iterator[Words]:
    """States (1,) after the anchor's output that explain the window."""
    if plan is None:
        return
    others = shown.others(places, anchor)
    distances = [int(distance) for distance in places[others] - places[anchor]]
    kept = np.empty(_KEPT, np.uint64)
    base, stride, count = shown.first[anchor], np.uint64(shown.step), int(shown.count[anchor])
    tests = shown.tests()[others]
    generator = question.generator
    match generator:
        case Minstd():
            powers = [pow(generator.multiplier, steps, _PRIME) for steps in distances]
            scale = np.array(powers, np.uint64)
            found = prime_candidates(
                base, stride, count, scale, tests, plan.looks, plan.floor, plan.total_floor, kept
            )
        case TruncatedLcg():
            bits = generator.state_bits
            steps = [affine_power(generator.multiplier, distance, bits) for distance in distances]
            scale = np.array([power for power, _ in steps], np.uint64)
            offset = np.array([total for _, total in steps], np.uint64)
            offset *= np.uint64(generator.increment)
            found = binary_candidates(
                base,
                stride,
                count,
                scale,
                offset,
                np.uint64((1 << bits) - 1),
                np.uint64(0),
                tests,
                plan.looks,
                plan.floor,
                plan.total_floor,
                kept,
            )
        case _:
            raise CannotRecover(f"the output of {generator.name} is not its state")
    for place in range(min(found, _KEPT)):
        # minstd never is at 0, from where it would not move.
        if kept[place] or not isinstance(generator, Minstd):
            yield kept[place : place + 1]
