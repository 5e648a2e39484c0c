"""Read off a draw what it shows of the raw outputs that made it.

Every mapping leaves a raw output u on an arithmetic progression: (u >> shift) is first + t * step
for some t < count. With u % M the step is M; with a part of the range, as floor(u * M) has it, the
step is 1. What a mapping throws away (nextInt, once in millions of calls) is not accounted for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from steps.prng.base import Generator, Words
from steps.prng.generators.lcg import Minstd
from steps.prng.recovery.found import UNREAD, CannotRecover
from steps.prng.recovery.question import Question

Numbers = NDArray[np.int64]

_INT_BITS = 31
# Upper bits of an output that a float keeps; java takes 26 of the first of two, the twister 27.
_UNIT_BITS = {"java": 26, "mt19937": 27}
_MOST_UNIT_BITS = 53


@dataclass(frozen=True, eq=False)
class Shown:
    """Observations (k,) of single outputs, in the order of the draws.

    draw: which draw; place: which of its outputs, 0..outputs_per_draw - 1. first, count, step,
    shift: the progression that (u >> shift) lies on. bits: width of u >> shift. per_draw:
    observations of one draw.
    """

    draw: Numbers
    place: Numbers
    first: Words
    count: Words
    step: int
    shift: int
    bits: int
    per_draw: int

    def rows(self, start: int, stop: int) -> Shown:
        """Observations start..stop - 1."""
        return replace(
            self,
            draw=self.draw[start:stop],
            place=self.place[start:stop],
            first=self.first[start:stop],
            count=self.count[start:stop],
        )

    def places(self, question: Question, gap: int) -> Numbers:
        """Number of the output that each observation is of, counted from draw 0's first."""
        per_draw = question.outputs_per_draw
        return self.draw * ((gap + 1) * per_draw) + self.place

    def others(self, places: Numbers, source: int) -> Numbers:
        """The other observations: first those of the same draw, then the nearest.

        These are the likeliest to have no draw missing in between. places: as places() gives them.
        """
        distance = np.abs(places - places[source])
        order = np.lexsort((distance, self.draw != self.draw[source]))
        others: Numbers = order[order != source]
        return others

    @property
    def known_low_bits(self) -> int:
        """Lowest bits of u >> shift that an observation fixes: the factors 2 of the step."""
        return (self.step & -self.step).bit_length() - 1

    @property
    def chance(self) -> float:
        """Largest share of all outputs that one observation allows."""
        return float(self.count.max()) / float(1 << self.bits)

    def tests(self, word: int = 64) -> Words:
        """(less, inverse, right, ceiling) of every observation, uint64 (k, 4).

        A value v is on the progression if (v - less) * inverse, modulo 2^word, turned to the right
        by `right` bits, is at most `ceiling`: division by a constant as a multiplication (Granlund
        and Montgomery, 1994; Warren, Hacker's Delight, 10-17).
        """
        twos = self.known_low_bits
        inverse = pow(self.step >> twos, -1, 1 << word)
        made = np.empty((self.first.shape[0], 4), np.uint64)
        made[:, 0] = self.first
        made[:, 1] = inverse
        made[:, 2] = twos
        made[:, 3] = self.count - np.uint64(1)
        return made

    def known_bits(self) -> tuple[Words, Words]:
        """Mask and value (k,) of the bits of u that an observation fixes."""
        shift = np.uint64(self.shift)
        if self.step > 1:
            mask = np.full(self.first.shape, (1 << self.known_low_bits) - 1, np.uint64)
        else:  # a range: the bits that its ends have in common
            unlike = self.first ^ (self.first + self.count - np.uint64(1))
            for spread in (1, 2, 4, 8, 16, 32):
                unlike = unlike | (unlike >> np.uint64(spread))
            mask = ~unlike & np.uint64((1 << self.bits) - 1)
        return mask << shift, (self.first & mask) << shift


def show(question: Question) -> Shown:
    """What the readable draws show. Raises CannotRecover for a mapping that is not known here, and
    TooFewDraws where not one can be read.
    """
    question.require(1, "the state")
    drawn = np.flatnonzero(question.draws != UNREAD)
    values = question.draws[drawn]
    generator, modulus = question.generator, question.modulus
    match question.mapping.name:
        case "mod":
            return _residues(drawn, values[:, np.newaxis], modulus, 0, generator.word_bits)
        case "next_int" if modulus & (modulus - 1):
            shift = generator.word_bits - _INT_BITS
            return _residues(drawn, values[:, np.newaxis], modulus, shift, _INT_BITS)
        case "next_int":
            shift = generator.word_bits - _INT_BITS
            return _ranges(drawn, values, modulus, 1 << _INT_BITS, shift)
        case "digits_mod":
            digits = _digits(values, question.outputs_per_draw)
            return _residues(drawn, digits, 10, 0, generator.word_bits)
        case "digits_next_int":
            digits = _digits(values, question.outputs_per_draw)
            shift = generator.word_bits - _INT_BITS
            return _residues(drawn, digits, 10, shift, _INT_BITS)
        case "multiply":
            values_of_unit, shift = _unit(generator)
            return _ranges(drawn, values, modulus, values_of_unit, shift)
        case other:
            raise CannotRecover(f"no algebra for mapping {other!r}")


def _residues(drawn: Numbers, values: Numbers, modulus: int, shift: int, bits: int) -> Shown:
    """values: (n, outputs_per_draw)."""
    first = values.ravel().astype(np.uint64)
    return Shown(
        draw=np.repeat(drawn, values.shape[1]),
        place=np.tile(np.arange(values.shape[1]), drawn.shape[0]),
        first=first,
        count=(np.uint64((1 << bits) - 1) - first) // np.uint64(modulus) + np.uint64(1),
        step=modulus,
        shift=shift,
        bits=bits,
        per_draw=values.shape[1],
    )


def _ranges(drawn: Numbers, values: Numbers, modulus: int, outputs: int, shift: int) -> Shown:
    """Draw d is made by outputs from d / M to (d + 1) / M of all `outputs`, both ends in doubt."""
    first = np.array([int(value) * outputs // modulus for value in values], np.uint64)
    last = np.array([-(-(int(value) + 1) * outputs // modulus) - 1 for value in values], np.uint64)
    return Shown(
        draw=drawn,
        place=np.zeros_like(drawn),
        first=first,
        count=last - first + np.uint64(1),
        step=1,
        shift=shift,
        bits=(outputs - 1).bit_length(),
        per_draw=1,
    )


def _digits(values: Numbers, digits: int) -> Numbers:
    """Decimal digits (n, digits), the most significant first."""
    return values[:, np.newaxis] // 10 ** np.arange(digits - 1, -1, -1) % 10


def _unit(generator: Generator) -> tuple[int, int]:
    """Values of the part of an output that a float shows, and its shift in the output."""
    if isinstance(generator, Minstd):
        return (1 << 31) - 1, 0
    bits = _UNIT_BITS.get(generator.name, min(generator.word_bits, _MOST_UNIT_BITS))
    return 1 << bits, generator.word_bits - bits
