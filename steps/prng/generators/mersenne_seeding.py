"""How the Mersenne twisters make their words of a seed: by number, by array, by SeedSequence.

Each seeding gives the words of a whole ring (n, 624 or 312) and how many of them count as put out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from steps.prng.base import MASK32, Words
from steps.prng.generators.seed_sequence import seed_sequence_words

Seeding = Callable[[Words], tuple[Words, int]]

_ARRAY_SEED = 19650218


@dataclass(frozen=True, slots=True)
class Filling:
    """The numbers of init_genrand and init_by_array for one word width."""

    word_bits: int
    words: int
    by_number: int
    by_array: tuple[int, int]

    @property
    def mask(self) -> int:
        """All bits of a word."""
        return (1 << self.word_bits) - 1


FILLING_32 = Filling(32, 624, 1812433253, (1664525, 1566083941))
FILLING_64 = Filling(64, 312, 6364136223846793005, (3935559000370003845, 2862933555777941757))


def by_number(filling: Filling) -> Seeding:
    """init_genrand: each word from the one before; also std::mt19937(seed), numpy.random.seed."""

    def seed(seeds: Words) -> tuple[Words, int]:
        return np.stack(_numbered(filling, seeds & filling.mask), axis=1), filling.words

    return seed


def by_array(filling: Filling) -> Seeding:
    """init_by_array of the seed's words, low first, as many as it needs: CPython's random.seed."""

    def seed(seeds: Words) -> tuple[Words, int]:
        rings = np.empty((seeds.size, filling.words), np.uint64)
        wide = seeds > filling.mask
        rings[~wide] = np.stack(words_of_key(filling, [seeds[~wide]]), axis=1)
        if wide.any():
            key = [seeds[wide] & MASK32, seeds[wide] >> 32]
            rings[wide] = np.stack(words_of_key(filling, key), axis=1)
        return rings, filling.words

    return seed


def by_seed_sequence(filling: Filling) -> Seeding:
    """numpy.random.MT19937(seed): SeedSequence's words, the first one replaced."""

    def seed(seeds: Words) -> tuple[Words, int]:
        words = seed_sequence_words(seeds, filling.words)
        words[0] = np.full_like(seeds, 1 << (filling.word_bits - 1))
        # numpy leaves its place on the last word, which it then puts out first of all.
        return np.stack(words, axis=1), filling.words - 1

    return seed


def words_of_key(filling: Filling, key: list[Words]) -> list[Words]:
    """init_by_array of a key of words (n,) each: the words (n,) of a whole ring."""
    size = filling.words
    words = _numbered(filling, np.full_like(key[0], _ARRAY_SEED))
    position = 1
    for turn in range(max(size, len(key))):
        mixed = words[position] ^ (_folded(words[position - 1], filling) * filling.by_array[0])
        part = turn % len(key)
        words[position] = (mixed + key[part] + part) & filling.mask
        position = _following(words, position)
    for _ in range(size - 1):
        mixed = words[position] ^ (_folded(words[position - 1], filling) * filling.by_array[1])
        words[position] = (mixed - position) & filling.mask
        position = _following(words, position)
    words[0] = np.full_like(key[0], 1 << (filling.word_bits - 1))
    return words


def _numbered(filling: Filling, seeds: Words) -> list[Words]:
    words = [seeds]
    for position in range(1, filling.words):
        mixed = _folded(words[-1], filling) * filling.by_number
        words.append((mixed + position) & filling.mask)
    return words


def _folded(word: Words, filling: Filling) -> Words:
    folded: Words = word ^ (word >> (filling.word_bits - 2))
    return folded


def _following(words: list[Words], position: int) -> int:
    """The next position, 1..size - 1 over and over; at the end the last word becomes word 0."""
    if position + 1 < len(words):
        return position + 1
    words[0] = words[-1]
    return 1
