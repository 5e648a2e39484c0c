"""Seed one generator many times over, and make those of its outputs that are looked at.

The same generators, constants and moves as the parent's kernels for the CPU have, which hold the
two equal before a search rests on these. A kernel yields the outputs of every look in order, int32
(n,) of 32 bits or int64 (n,) of 64, for seeds int64 (n,); nobody may change what it yields.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch

from gpu.protocol.seeds import SeedKernel
from gpu.worker.seeds.words import lower_half, mixed, shifted_right, signed, turned_left

Constants = Sequence[int]
Moves = Sequence[tuple[int, int]]
Outputs = Iterator[torch.Tensor]
Kernel = Callable[[torch.Tensor, Constants, Moves], Outputs]

_LOW_32 = 0xFFFFFFFF
_STRIDE = 0x9E3779B97F4A7C15
_STAR = 0x2545F4914F6CDD1D
_TWISTER_AHEAD = 397
_TWISTER_PLACES = 227


def java(seeds: torch.Tensor, constants: Constants, moves: Moves) -> Outputs:
    """constants: the scramble. moves: multiplier and addend from the seeded state on."""
    states = seeds ^ signed(constants[0], 64)
    for factor, addend in moves:
        words = (states * signed(factor, 64)).add_(signed(addend, 64))
        # Of a state of 48 bits the upper 32: what moves in from the left is cut off.
        yield lower_half(words >> 16)


def pcg32(seeds: torch.Tensor, constants: Constants, moves: Moves) -> Outputs:
    """constants: the increment. moves: multiplier and addend from seed + increment."""
    states = seeds + signed(constants[0], 64)
    for factor, addend in moves:
        words = (states * signed(factor, 64)).add_(signed(addend, 64))
        shown = shifted_right(shifted_right(words, 18) ^ words, 27).bitwise_and_(_LOW_32)
        # Turned to the right by the upper five bits: twice side by side, and shifted.
        twice = (shown << 32).bitwise_or_(shown)
        yield lower_half(twice >> shifted_right(words, 59))


def xorshift32(seeds: torch.Tensor, constants: Constants, moves: Moves) -> Outputs:
    """constants: 1 where the seed goes through splitmix64 first. moves: steps to the output."""
    words = lower_half(mixed(seeds + signed(_STRIDE, 64)) if constants[0] else seeds)
    for steps, _ in moves:
        for _ in range(steps):
            words = words ^ (words << 13)
            words ^= shifted_right(words, 17)
            words ^= words << 5
        yield words


def xorshift64(seeds: torch.Tensor, constants: Constants, moves: Moves) -> Outputs:
    """constants: as xorshift32; 1 for xorshift64*, shifts (3,) right, left, right of it or not."""
    through_splitmix, star, first, second, third = constants
    words = mixed(seeds + signed(_STRIDE, 64)) if through_splitmix else seeds
    for steps, _ in moves:
        for _ in range(steps):
            if star:
                words = words ^ shifted_right(words, first)
                words ^= words << second
                words ^= shifted_right(words, third)
            else:
                words = words ^ (words << first)
                words ^= shifted_right(words, second)
                words ^= words << third
        yield words * signed(_STAR, 64) if star else words


def splitmix64(seeds: torch.Tensor, _: Constants, moves: Moves) -> Outputs:
    """moves: what to add to the seed."""
    for addend, _unused in moves:
        yield mixed(seeds + signed(addend, 64))


def xoshiro256plusplus(seeds: torch.Tensor, _: Constants, moves: Moves) -> Outputs:
    """moves: steps before the one that gives the output."""
    a, b, c, d = (mixed(seeds + signed(_STRIDE * place, 64)) for place in (1, 2, 3, 4))
    for steps, _unused in moves:
        for _step in range(steps):
            c_a, d_b = c ^ a, d ^ b
            c = c_a ^ (b << 17)
            a = a ^ d_b
            b = b ^ c_a
            d = turned_left(d_b, 45)
        yield turned_left(a + d, 23) + a


def sfc64(seeds: torch.Tensor, _: Constants, moves: Moves) -> Outputs:
    """The seed in three words. moves: steps before the one that gives the output."""
    a = b = c = seeds
    counter = 1
    for steps, _unused in moves:
        for _step in range(steps):
            summed = (a + b).add_(counter)
            a = b ^ shifted_right(b, 11)
            b = c * 9
            c = turned_left(c, 24) + summed
            counter += 1
        yield (a + b).add_(counter)


def philox4x32(seeds: torch.Tensor, _: Constants, moves: Moves) -> Outputs:
    """The seed is the key. moves: the counter, and which of its four outputs."""
    for counter, which in moves:
        # Words of 32 bits, from 0 up, in integers of 64: their products are whole.
        w0 = torch.full_like(seeds, counter & _LOW_32)
        w1 = torch.full_like(seeds, counter >> 32)
        w2, w3 = torch.zeros_like(seeds), torch.zeros_like(seeds)
        low, high = seeds & _LOW_32, shifted_right(seeds, 32)
        for _round in range(10):
            left, right = w0 * 0xD2511F53, w2 * 0xCD9E8D57
            w0, w1 = shifted_right(right, 32) ^ w1 ^ low, right & _LOW_32
            w2, w3 = shifted_right(left, 32) ^ w3 ^ high, left & _LOW_32
            low = (low + 0x9E3779B9).bitwise_and_(_LOW_32)
            high = (high + 0xBB67AE85).bitwise_and_(_LOW_32)
        yield lower_half((w0, w1, w2, w3)[which])


def mt19937(seeds: torch.Tensor, _: Constants, moves: Moves) -> Outputs:
    """init_genrand. moves: number of the output, 0..226, ascending: those of untwisted words."""
    places = [place for place, _ in moves]
    if places != sorted(set(places)) or places[-1] >= _TWISTER_PLACES:
        raise ValueError(f"places must ascend within 0..{_TWISTER_PLACES - 1}, got {places}")
    words = lower_half(seeds)
    # For a sum and a product at once: number + 1812433253 * word.
    numbers = torch.arange(places[-1] + _TWISTER_AHEAD + 1, dtype=torch.int32, device=seeds.device)
    joined: dict[int, torch.Tensor] = {}
    for number in range(places[-1] + _TWISTER_AHEAD + 1):
        if number:
            words = words ^ shifted_right(words, 30)
            words = torch.add(numbers[number], words, alpha=1812433253)
        if number in places:
            joined[number] = words & signed(0x80000000, 32)
        if number - 1 in places:
            joined[number - 1] |= words & 0x7FFFFFFF
        if number - _TWISTER_AHEAD in places:
            yield _tempered(joined.pop(number - _TWISTER_AHEAD), words)


def _tempered(joined: torch.Tensor, ahead: torch.Tensor) -> torch.Tensor:
    """Outputs of the joined words and the words 397 places ahead."""
    odd = (joined & 1).neg_().bitwise_and_(signed(0x9908B0DF, 32))
    words = shifted_right(joined, 1) ^ odd ^ ahead
    words ^= shifted_right(words, 11)
    words ^= (words << 7).bitwise_and_(signed(0x9D2C5680, 32))
    words ^= (words << 15).bitwise_and_(signed(0xEFC60000, 32))
    return words ^ shifted_right(words, 18)


# Kernel, and how many constants it takes.
KERNELS: dict[SeedKernel, tuple[Kernel, int]] = {
    "java": (java, 1),
    "pcg32": (pcg32, 1),
    "xorshift32": (xorshift32, 1),
    "xorshift64": (xorshift64, 5),
    "splitmix64": (splitmix64, 0),
    "xoshiro256plusplus": (xoshiro256plusplus, 0),
    "sfc64": (sfc64, 0),
    "philox4x32": (philox4x32, 0),
    "mt19937": (mt19937, 0),
}
