"""Write down which bits of a Mersenne twister's state each bit of an output is the sum of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from steps.prng.recovery.compiled import compiled

Words = NDArray[np.uint64]
Numbers = NDArray[np.int64]

_WORD = 64
_ONE = np.uint64(1)
_LOW_BITS = 31


@compiled
def fill_equations(
    matrix: Words,
    places: Numbers,
    masks: Words,
    sides: Words,
    words: int,
    shift: int,
    twist: np.uint64,
    tempering: Words,
) -> None:
    """Fill matrix (equations, columns / 64 + 1), zero before, with the outputs' known bits.

    places (k,): ascending, number of the output; masks (k,): its known bits, an equation each, from
    the lowest; sides (k, word_bits): the right sides of each bit. Column 32 * w + b (64 * w + b) is
    bit b of ring word w, the oldest first. tempering: the bits that each output bit is the sum of.

    64 columns at a time: a word of the ring is a word for each of its bits, which has the
    coefficients of the columns in hand.
    """
    bits = tempering.shape[0]
    blocks = matrix.shape[1] - 1
    ring = np.empty((words, bits), np.uint64)
    # All ones where the twist's bit is set.
    twisted = np.empty(bits, np.uint64)
    for bit in range(bits):
        twisted[bit] = np.uint64(0) - ((twist >> np.uint64(bit)) & _ONE)
    for block in range(blocks):
        for word in range(words):
            for bit in range(bits):
                ring[word, bit] = 0
        for column in range(_WORD):
            number = block * _WORD + column
            ring[number // bits, number % bits] = _ONE << np.uint64(column)
        equation = 0
        made = 0
        for known in range(places.shape[0]):
            while made <= places[known]:
                _renew(ring, made % words, shift, twisted)
                made += 1
            newest = (made - 1) % words
            for bit in range(bits):
                if (masks[known] >> np.uint64(bit)) & _ONE:
                    total = np.uint64(0)
                    for source in range(bits):
                        if (tempering[bit] >> np.uint64(source)) & _ONE:
                            total ^= ring[newest, source]
                    matrix[equation, block] = total
                    equation += 1
    equation = 0
    for known in range(places.shape[0]):
        for bit in range(bits):
            if (masks[known] >> np.uint64(bit)) & _ONE:
                matrix[equation, blocks] = sides[known, bit]
                equation += 1


@compiled
def _renew(ring: Words, place: int, shift: int, twisted: Words) -> None:
    """The oldest word, at `place`, becomes the newest: Matsumoto and Nishimura's recurrence."""
    words, bits = ring.shape
    following, ahead = place + 1, place + shift
    following -= words if following >= words else 0
    ahead -= words if ahead >= words else 0
    lowest = ring[following, 0]
    # Bit b of the joined word moves to b - 1; its upper bits are the old word's.
    for bit in range(_LOW_BITS - 1):
        ring[place, bit] = ring[following, bit + 1] ^ ring[ahead, bit] ^ (lowest & twisted[bit])
    for bit in range(_LOW_BITS - 1, bits - 1):
        ring[place, bit] = ring[place, bit + 1] ^ ring[ahead, bit] ^ (lowest & twisted[bit])
    ring[place, bits - 1] = ring[ahead, bits - 1] ^ (lowest & twisted[bits - 1])
