"""The Mersenne twisters of 32 and 64 bits: mt19937 and mt19937_64.

Matsumoto and Nishimura, "Mersenne Twister" (1998), with the seedings of their mt19937ar.c and
mt19937-64.c, of CPython's random and of numpy.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from steps.prng.base import Floats, GeneratorError, Words, check_seeds, check_states
from steps.prng.generators.mersenne_seeding import (
    FILLING_32,
    FILLING_64,
    Seeding,
    by_array,
    by_number,
    by_seed_sequence,
)
from steps.prng.generators.polynomials import minimal_polynomial, power_of_x

_DEGREE = 19937
# Of the oldest word only the bits above these are ever read.
_LOW = (1 << 31) - 1
# Above this a jump by polynomial is the shorter way; below, all words are made.
_LEAP_STEPS = 1 << 22
_BLOCK = 1 << 16


@dataclass(frozen=True, slots=True)
class Twist:
    """The numbers of one Mersenne twister; shift is how far ahead the word lies that is mixed in.

    tempering: the right shifts are positive, the left ones negative, each with its mask.
    """

    word_bits: int
    words: int
    shift: int
    matrix: int
    tempering: tuple[tuple[int, int], ...]


class MersenneTwister:
    """A ring of words, renewed one word an output; see steps.prng.base.Generator.

    A state is the ring's words and, last, the place of the oldest one, which the next step renews
    and puts out. numpy's and CPython's states renew a whole ring at once: see of_library_state.
    Of the oldest word the lower 31 bits are never read; here they are always what the recurrence
    would have made them, so that equal streams have equal states.
    """

    reversible = True
    jump_cost: int | None = None

    def __init__(self, name: str, twist: Twist, seedings: dict[str, Seeding]) -> None:
        self.name = name
        self.twist = twist
        self.word_bits = twist.word_bits
        self.state_words = twist.words + 1
        self.seedings = tuple(seedings)
        self.unit_outputs = 2 if twist.word_bits == 32 else 1
        self._seedings = seedings
        self._high = ((1 << twist.word_bits) - 1) ^ _LOW

    def seed(self, seeds: Words, seeding: str) -> Words:
        """States (n, state_words) of the seeds (n,): 10,000 seeds in about 0.4 s and 100 MB."""
        check_seeds(self, seeds, seeding)
        words, place = self._seedings[seeding](seeds)
        return self.of_library_state(words, place)

    def of_library_state(self, words: Words, place: int) -> Words:
        """States from what numpy's and CPython's generators call theirs.

        words: uint64 (n, 624 or 312), all renewed at once; place: how many of them were put out.
        """
        size = self.twist.words
        if words.dtype != np.uint64 or words.ndim != 2 or words.shape[1] != size:
            raise GeneratorError(
                f"{self.name}: words must be uint64 (n, {size}), got {words.dtype} {words.shape}"
            )
        if not 0 <= place <= size:
            raise GeneratorError(f"{self.name}: place must be 0..{size}, got {place}")
        window = words.copy()
        oldest = self._unmixed(window[:, -1] ^ window[:, self.twist.shift - 1])
        window[:, 0] = (window[:, 0] & self._high) | (oldest & _LOW)
        return self.jump(self._of_window(window, 0), place - size)

    def step(self, states: Words) -> tuple[Words, Words]:
        """The next raw output (n,) and the states (n, state_words) after it."""
        outputs, after = self.run(states, 1)
        return outputs[:, 0], after

    def step_back(self, states: Words) -> Words:
        """The states (n, state_words) from which step() gives these."""
        return self.jump(states, -1)

    def run(self, states: Words, count: int) -> tuple[Words, Words]:
        """The next `count` raw outputs (n, count), and the states after them."""
        check_states(self, states)
        outputs = np.empty((states.shape[0], count), np.uint64)
        after = states.copy()
        for rows, place in self._by_place(states):
            made = self._ahead(self._window(states[rows], place), count)
            outputs[rows] = self._tempered(made[:, self.twist.words :])
            after[rows] = self._of_window(made[:, count:], place + count)
        return outputs, after

    def jump(self, states: Words, steps: int) -> Words:
        """The states `steps` outputs later, or earlier where negative.

        Up to 2^22 steps all words between are made. Beyond, the first jump finds the generator's
        polynomial, each new distance costs 0.1 to 1 s, and a state some 20 ms.
        """
        check_states(self, states)
        after = states.copy()
        for rows, place in self._by_place(states):
            window = self._window(states[rows], place)
            if abs(steps) > _LEAP_STEPS:
                window = self._leap(window, steps)
            else:
                window = self._walk(window, steps)
            after[rows] = self._of_window(window, place + steps)
        return after

    def unit(self, outputs: Words) -> Floats:
        """53 bits: of two outputs, 27 and 26 (genrand_res53), or the upper 53 of a 64-bit one."""
        if self.word_bits == 32:
            whole = (outputs[..., 0] >> 5 << 26) + (outputs[..., 1] >> 6)
        else:
            whole = outputs[..., 0] >> 11
        return np.asarray(whole * 2.0**-53, np.float64)

    @cached_property
    def polynomial(self) -> int:
        """The minimal polynomial of a step, of degree 19937."""
        words = np.arange(1, self.twist.words + 1, dtype=np.uint64)[np.newaxis]
        made = self._ahead(words, 2 * _DEGREE + 1)[0, self.twist.words :]
        return minimal_polynomial((made & 1).tolist())

    # A window is the ring's words (n, words), oldest first.

    def _walk(self, window: Words, steps: int) -> Words:
        size = self.twist.words
        for done in range(0, abs(steps), _BLOCK):
            count = min(_BLOCK, abs(steps) - done)
            if steps > 0:
                window = self._ahead(window, count)[:, -size:]
            else:
                window = self._behind(window, count)[:, :size]
        return window

    def _leap(self, window: Words, steps: int) -> Words:
        size = self.twist.words
        made = self._ahead(window, _DEGREE)
        reached = np.zeros_like(window)
        digits = format(power_of_x(steps, self.polynomial), "b")[::-1]
        for ahead, digit in enumerate(digits):
            if digit == "1":
                reached ^= made[:, ahead : ahead + size]
        return reached

    def _ahead(self, window: Words, count: int) -> Words:
        """The window and the `count` words after it (n, words + count)."""
        size, shift = self.twist.words, self.twist.shift
        made = np.empty((window.shape[0], size + count), np.uint64)
        made[:, :size] = window
        # As many at a time as need none of their own number.
        for first, last in _stretches(count, size - shift):
            read = made[:, first : last + 1]
            mixed = self._mixed((read[:, :-1] & self._high) | (read[:, 1:] & _LOW))
            made[:, size + first : size + last] = mixed ^ made[:, shift + first : shift + last]
        return made

    def _behind(self, window: Words, count: int) -> Words:
        """The `count` words before the window, and it (n, count + words)."""
        size, shift = self.twist.words, self.twist.shift
        made = np.empty((window.shape[0], count + size), np.uint64)
        made[:, count:] = window
        for done, end in _stretches(count, shift - 1):
            first, last = count - end, count - done
            # Word k's upper bits went into word k + size, its lower bits into the one before.
            later = made[:, size + first : size + last] ^ made[:, shift + first : shift + last]
            made[:, first:last] = self._unmixed(later) & self._high
            # The word before the first is not made yet, nor needed: its successor's trace is.
            before = (
                made[:, size + first - 1 : size + last - 1]
                ^ made[:, shift + first - 1 : shift + last - 1]
            )
            made[:, first:last] |= self._unmixed(before) & _LOW
        return made

    def _mixed(self, joined: Words) -> Words:
        mixed: Words = (joined >> 1) ^ ((joined & 1) * self.twist.matrix)
        return mixed

    def _unmixed(self, mixed: Words) -> Words:
        """The joined word: the matrix has its top bit set, so the top bit tells the lowest one."""
        odd = mixed >> (self.word_bits - 1)
        joined: Words = ((mixed ^ (odd * self.twist.matrix)) << 1) | odd
        return joined

    def _tempered(self, words: Words) -> Words:
        for shift, mask in self.twist.tempering:
            words = words ^ ((words >> shift if shift > 0 else words << -shift) & mask)
        return words

    def _window(self, states: Words, place: int) -> Words:
        return np.roll(states[:, :-1], -place, axis=1)

    def _of_window(self, window: Words, place: int) -> Words:
        place %= self.twist.words
        states = np.empty((window.shape[0], self.state_words), np.uint64)
        states[:, :-1] = np.roll(window, place, axis=1)
        states[:, -1] = place
        return states

    def _by_place(self, states: Words) -> list[tuple[npt.NDArray[np.intp], int]]:
        places = states[:, -1]
        return [(np.flatnonzero(places == place), int(place)) for place in np.unique(places)]


def _stretches(count: int, length: int) -> list[tuple[int, int]]:
    return list(pairwise([*range(0, count, length), count]))


_TWIST_32 = Twist(
    word_bits=32,
    words=624,
    shift=397,
    matrix=0x9908B0DF,
    tempering=((11, 0xFFFFFFFF), (-7, 0x9D2C5680), (-15, 0xEFC60000), (18, 0xFFFFFFFF)),
)
_TWIST_64 = Twist(
    word_bits=64,
    words=312,
    shift=156,
    matrix=0xB5026F5AA96619E9,
    tempering=(
        (29, 0x5555555555555555),
        (-17, 0x71D67FFFEDA60000),
        (-37, 0xFFF7EEE000000000),
        (43, 0xFFFFFFFFFFFFFFFF),
    ),
)

GENERATORS = (
    MersenneTwister(
        "mt19937",
        _TWIST_32,
        {
            "init_genrand": by_number(FILLING_32),
            "init_by_array": by_array(FILLING_32),
            "seed_sequence": by_seed_sequence(FILLING_32),
        },
    ),
    MersenneTwister(
        "mt19937_64",
        _TWIST_64,
        {"init_genrand": by_number(FILLING_64), "init_by_array": by_array(FILLING_64)},
    ),
)
