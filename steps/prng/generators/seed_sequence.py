"""numpy's SeedSequence for many integer seeds at once.

After numpy/random/bit_generator.pyx (O'Neill's seed_seq_fe128). Cost: about 20 operations on 32-bit
arrays a pool word and 5 an output word, so 624 words of a Mersenne twister cost about 3,000 array
operations for a whole block of seeds.
"""

from __future__ import annotations

import numpy as np

from steps.prng.base import MASK32, Words

_POOL_WORDS = 4
_INIT_A, _MULT_A = 0x43B0D7E5, 0x931E8875
_INIT_B, _MULT_B = 0x8B51F9DD, 0x58F38DED
_MIX_LEFT, _MIX_RIGHT = 0xCA01F9DD, 0x4973F715


def seed_sequence_words(seeds: Words, count: int) -> list[Words]:
    """SeedSequence(seed).generate_state(count), `count` 32-bit words (n,) of uint64 seeds (n,)."""
    pool = _mixed_pool(seeds)
    words = []
    constant = _INIT_B
    for position in range(count):
        word, constant = _hashed(pool[position % _POOL_WORDS], constant, _MULT_B)
        words.append(word)
    return words


def seed_sequence_words64(seeds: Words, count: int) -> list[Words]:
    """SeedSequence(seed).generate_state(count, uint64): pairs of 32-bit words, low first."""
    halves = seed_sequence_words(seeds, 2 * count)
    return [low | (high << 32) for low, high in zip(halves[::2], halves[1::2], strict=True)]


def _mixed_pool(seeds: Words) -> list[Words]:
    nothing = np.zeros_like(seeds)
    # A seed under 2^32 has one word of entropy; what is absent is hashed as 0.
    entropy = [seeds & MASK32, seeds >> 32, nothing, nothing]
    pool = []
    constant = _INIT_A
    for word in entropy:
        hashed, constant = _hashed(word, constant, _MULT_A)
        pool.append(hashed)
    for source in range(_POOL_WORDS):
        for target in range(_POOL_WORDS):
            if source != target:
                hashed, constant = _hashed(pool[source], constant, _MULT_A)
                pool[target] = _mixed(pool[target], hashed)
    return pool


def _hashed(word: Words, constant: int, multiplier: int) -> tuple[Words, int]:
    following = constant * multiplier & MASK32
    word = (word ^ constant) * following & MASK32
    return word ^ (word >> 16), following


def _mixed(word: Words, other: Words) -> Words:
    mixed: Words = (word * _MIX_LEFT - other * _MIX_RIGHT) & MASK32
    mixed ^= mixed >> 16
    return mixed
