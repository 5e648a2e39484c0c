"""philox4x32-10: ten rounds of multiplication turn a counter and a key into four outputs.

Salmon, Moraes, Dror and Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3" (2011), the generator
of Random123, cuRAND and std::philox4x32. numpy's Philox is 4x64 and another generator.
"""

from __future__ import annotations

import numpy as np

from steps.prng.base import MASK32, MASK64, Words, check_states
from steps.prng.generators.columns import ColumnGenerator, Columns

_ROUNDS = 10
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)


class Philox4x32(ColumnGenerator):
    """Words: the counter's lower and upper 64 bits, the key, and which of four outputs is next.

    The counter starts at 0 and each of its values gives four outputs, in order. seedings: "key",
    the seed is the key (std::philox4x32 takes its lower 32 bits only).
    """

    name = "philox4x32"
    word_bits = 32
    state_words = 4
    seedings = ("key",)
    jump_cost = 2

    def run(self, states: Words, count: int) -> tuple[Words, Words]:
        """The next `count` raw outputs (n, count), four of each counter, and the states after."""
        check_states(self, states)
        low, high, key, place = states.T
        blocks = (count + 3) // 4 + 1
        ahead = np.arange(blocks, dtype=np.uint64)
        lows = low[:, np.newaxis] + ahead
        highs = high[:, np.newaxis] + (lows < ahead)
        words = philox_block(lows, highs, np.broadcast_to(key[:, np.newaxis], lows.shape))
        outputs = np.stack(words, axis=2).reshape(states.shape[0], 4 * blocks)
        places = place[:, np.newaxis] + np.arange(count, dtype=np.uint64)
        return np.take_along_axis(outputs, places.astype(np.intp), axis=1), self.jump(states, count)

    def _seed(self, seeds: Words, seeding: str) -> Columns:  # noqa: ARG002
        nothing = np.zeros_like(seeds)
        return (nothing, nothing, seeds, nothing)

    def _advance(self, columns: Columns) -> Columns:
        return self._leap(columns, 1)

    def _retreat(self, columns: Columns) -> Columns:
        return self._leap(columns, -1)

    def _output(self, before: Columns, after: Columns) -> Words:  # noqa: ARG002
        low, high, key, place = before
        return np.choose(place.astype(np.intp), philox_block(low, high, key))

    def _leap(self, columns: Columns, steps: int) -> Columns:
        low, high, key, place = columns
        blocks, rest = divmod(steps, 4)
        place = place + rest
        half = low + (blocks & MASK64)
        reached = half + (place >> 2)
        carry = (half < low) + (reached < half).astype(np.uint64)
        return (reached, high + (blocks >> 64 & MASK64) + carry, key, place & 3)


def philox_block(low: Words, high: Words, key: Words) -> tuple[Words, Words, Words, Words]:
    """The four 32-bit outputs of counters (..., low and high 64 bits) under keys (...)."""
    first, second, third, fourth = low & MASK32, low >> 32, high & MASK32, high >> 32
    key_low, key_high = key & MASK32, key >> 32
    for _ in range(_ROUNDS):
        left, right = first * _MULTIPLIERS[0], third * _MULTIPLIERS[1]
        first, second, third, fourth = (
            (right >> 32) ^ second ^ key_low,
            right & MASK32,
            (left >> 32) ^ fourth ^ key_high,
            left & MASK32,
        )
        key_low = (key_low + _KEY_STEPS[0]) & MASK32
        key_high = (key_high + _KEY_STEPS[1]) & MASK32
    return first, second, third, fourth


GENERATORS = (Philox4x32(),)
