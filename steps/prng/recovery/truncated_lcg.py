"""Recover the state of a linear congruence modulo a power of two from draws that cut it short.

With s -> a * s + c modulo 2^b, an output of its bits from `shift` up and M = 2^k * q, q odd, the
lower k bits of a draw are bits shift..shift + k - 1 of the state, and the lower shift + k bits of a
congruence know nothing of those above. So 2^shift candidates for these (the k upper ones are read
off one draw, the anchor) are held against the other draws' lower bits first; with them known, the
rest of the state goes in steps of q from one draw's residue. For java.util.Random and M = 1000 that
is 2^17 and 2^28 / 125 candidates where the state has 2^48. A draw that may be wrong is never
relied on: candidates are told by the number of their matches, and draws take turns as the anchor.

M odd shows no lower bit, and a part of the range (floor(u * M), nextInt of a power of two) shows
upper bits only: both are out of reach here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from steps.prng.base import Words
from steps.prng.generators.lcg import TruncatedLcg, affine_power
from steps.prng.recovery.found import CannotRecover, Search
from steps.prng.recovery.looks import Odds, observations_wanted, plan_looks, tries_wanted
from steps.prng.recovery.question import Judge, Question
from steps.prng.recovery.shown import Numbers, Shown, show
from steps.prng.recovery.sieve_kernels import binary_candidates, low_candidates
from steps.prng.recovery.windows import windows

# Candidates kept of one pass; wrong ones come one in seven passes.
_KEPT = 64
# The first pass works on so many bits at most.
_MOST_LOW_BITS = 32


def recover_truncated_lcg(question: Question) -> Search:
    """Find state and gap of a TruncatedLcg (java), wherever in its stream the draws begin.

    Mappings mod, next_int and digits with M even (next_int: no power of two). From clean draws it
    takes about as many as hold the state's bits. With mod and M = 2^k the bits above shift + k are
    never seen: they are left to chance, and the draws do not depend on them. Raises CannotRecover
    where draws show no lower bits, TooFewDraws.
    """
    sieve = _Sieve.of(question)
    judge = Judge(question, sieve.state_bits * math.log(2))
    readable = sieve.shown.draw.shape[0] // sieve.shown.per_draw
    for shown in windows(question, sieve.shown, max(sieve.draws, min(sieve.roomy, readable))):
        for gap in question.gaps:
            if question.should_stop():
                return judge.search(complete=False)
            places = shown.places(question, gap)
            origin = int(places[0] - shown.place[0])
            for state, place in sieve.states(shown, places):
                before = question.generator.jump(state.reshape(1, 1), origin - place - 1)[0]
                if judge.try_state(before, gap, int(shown.draw[0])):
                    return judge.search()
    return judge.search()


@dataclass(frozen=True, eq=False)
class _Sieve:
    """What does not depend on window and gap.

    shift: of an observed value in the state. known: its lower bits that an observation fixes.
    state_bits: how many the draws depend on. low, high: odds in the two passes. draws: a window's
    at least; roomy: where the history has them. spared: nats of evidence beyond what the first pass
    needs, so that a second one, which takes longer, is seldom made in vain.
    """

    lcg: TruncatedLcg
    shown: Shown
    shift: int
    known: int
    state_bits: int
    low: Odds
    high: Odds | None
    draws: int
    roomy: int
    spared: float

    @classmethod
    def of(cls, question: Question) -> _Sieve:
        lcg = question.generator
        if not isinstance(lcg, TruncatedLcg):
            raise CannotRecover(f"{lcg.name} is no linear congruence modulo a power of two")
        shown = show(question)
        shift = lcg.state_bits - lcg.word_bits + shown.shift
        known = min(shown.known_low_bits, _MOST_LOW_BITS - shift)
        if known < 1:
            raise CannotRecover(
                f"{question.name}: draws show no lower bits of the state; wanted u % M with M even"
            )
        seen = shift + shown.known_low_bits
        state_bits = seen if shown.step == 1 << shown.known_low_bits else lcg.state_bits
        clean = 1 - question.corruption
        group = shown.per_draw
        # A replaced draw may be right by chance; not so sure where its digits go together.
        by_chance = question.corruption if group == 1 else 0.0
        low = Odds(0.5**known, clean + by_chance * 0.5**known, group, group - 1)
        wanted = observations_wanted(low, shift * math.log(2)) + group
        high, spared = None, 0.0
        steps = shown.step >> known
        if steps > 1:
            # The second pass looks only at draws whose lower bits have matched.
            chance = shown.chance * 2.0**known
            of_matched = clean + question.corruption * 0.5 ** (known * group)
            hit = (clean + by_chance * shown.chance) / of_matched
            high = Odds(chance, hit, group, group - 1)
            rest = _log_rest(state_bits - shift - known, steps)
            matched = observations_wanted(high, rest)
            spared = max(rest - shift * math.log(2), 0.0)
            deviations = 3 * math.sqrt(matched * (1 - low.hit)) if question.corruption else 0.0
            wanted = max(wanted, math.ceil((matched + group + deviations) / low.hit))
        draws = -(-wanted // group)
        roomy = observations_wanted(low, shift * math.log(2) + spared) + group
        return cls(
            lcg,
            shown,
            shift,
            known,
            state_bits,
            low,
            high,
            draws,
            max(draws, -(-roomy // group)),
            spared,
        )

    def states(self, shown: Shown, places: Numbers) -> Iterator[tuple[Words, int]]:
        """States (1,) after the output at a place of the window, and that place."""
        for draw in range(min(tries_wanted(self.low.hit), self.draws)):
            anchor = draw * shown.per_draw
            for low in self._low_parts(shown, places, anchor):
                if self.high is None:
                    yield low, int(places[anchor])
                else:
                    yield from self._wholes(shown, places, anchor, low, self.high)

    def _low_parts(self, shown: Shown, places: Numbers, anchor: int) -> Iterator[Words]:
        """The lower shift + known bits (1,) of states after the anchor that explain those seen."""
        bits = self.shift + self.known
        others = shown.others(places, anchor)
        scale, offset = self._jumps(places[others] - places[anchor])
        residues = self._low_bits_seen(shown)
        spare = np.uint64(_MOST_LOW_BITS - bits)
        # What is seen is subtracted, and the lower bits moved to the top of 32: 0 there matches.
        offset = offset - (residues[others] << np.uint64(self.shift))
        log_candidates = self.shift * math.log(2)
        plan = plan_looks(others.shape[0], self.low, log_candidates + self.spared)
        plan = plan or plan_looks(others.shape[0], self.low, log_candidates)
        if plan is None:
            return
        kept = np.empty(_KEPT, np.uint64)
        found = low_candidates(
            np.uint32(int(residues[anchor]) << self.shift),
            1 << self.shift,
            (scale << spare).astype(np.uint32),
            (offset << spare).astype(np.uint32),
            np.uint32((1 << (_MOST_LOW_BITS - self.known)) - 1),
            plan.looks,
            plan.floor,
            plan.total_floor,
            kept,
        )
        for place in range(min(found, _KEPT)):
            yield kept[place : place + 1]

    def _wholes(
        self, shown: Shown, places: Numbers, anchor: int, low: Words, odds: Odds
    ) -> Iterator[tuple[Words, int]]:
        """Whole states (1,) with these lower bits after the anchor, and the place each is at."""
        bits = self.shift + self.known
        steps = shown.step >> self.known
        scale, offset = self._jumps(places - places[anchor])
        lows = (low * scale + offset) & np.uint64((1 << bits) - 1)
        agrees = lows >> np.uint64(self.shift) == self._low_bits_seen(shown)
        # A draw counts as matched where all of its observations do.
        agrees = np.repeat(agrees.reshape(-1, shown.per_draw).all(axis=1), shown.per_draw)
        nearest = np.append(anchor, shown.others(places, anchor))
        matched = nearest[agrees[nearest]]
        log_candidates = _log_rest(self.state_bits - bits, steps)
        plan = plan_looks(matched.shape[0] - 1, odds, log_candidates)
        if plan is None:
            return
        tests = shown.tests()
        for source in matched[:: shown.per_draw][: tries_wanted(odds.hit)]:
            others = shown.others(places, int(source))
            others = others[agrees[others]]
            scale, offset = self._jumps(places[others] - places[source])
            rest = (int(shown.first[source]) - (int(lows[source]) >> self.shift)) % shown.step
            first = rest >> self.known
            kept = np.empty(_KEPT, np.uint64)
            found = binary_candidates(
                np.uint64(int(lows[source]) + (first << bits)),
                np.uint64(steps << bits),
                -(-((1 << (self.state_bits - bits)) - first) // steps),
                scale,
                offset,
                np.uint64((1 << self.state_bits) - 1),
                np.uint64(self.shift),
                tests[others],
                plan.looks,
                plan.floor,
                plan.total_floor,
                kept,
            )
            for place in range(min(found, _KEPT)):
                yield kept[place : place + 1], int(places[source])

    def _jumps(self, distances: Numbers) -> tuple[Words, Words]:
        """Multiplier and addend (n,) of so many steps, which may be negative."""
        bits = self.lcg.state_bits
        powers = [affine_power(self.lcg.multiplier, int(steps), bits) for steps in distances]
        addends = [total * self.lcg.increment % (1 << bits) for _, total in powers]
        return np.array([power for power, _ in powers], np.uint64), np.array(addends, np.uint64)

    def _low_bits_seen(self, shown: Shown) -> Words:
        return shown.first & np.uint64((1 << self.known) - 1)


def _log_rest(bits: int, steps: int) -> float:
    """Log of the number of candidates for so many bits in steps of that size, one at least."""
    return max(bits * math.log(2) - math.log(steps), 0.0)
