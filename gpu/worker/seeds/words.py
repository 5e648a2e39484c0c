"""Arithmetic of unsigned words in torch's signed integers: int32 for 32 bits, int64 for 64.

Sums, differences and products of two's complement wrap around to the same bits. What differs is
done here: constants, shifts to the right, comparison.
"""

from __future__ import annotations

import torch

_MIXED = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)


def signed(value: int, bits: int) -> int:
    """The signed number with the lowest `bits` bits of the value."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def width(words: torch.Tensor) -> int:
    """Bits of a word."""
    return 8 * int(words.element_size())


def shifted_right(words: torch.Tensor, by: int) -> torch.Tensor:
    """With zeros moving in from the left. by: 0..width - 1; the tensor itself for 0."""
    if by == 0:
        return words
    return (words >> by).bitwise_and_((1 << (width(words) - by)) - 1)


def turned_left(words: torch.Tensor, by: int) -> torch.Tensor:
    """Rotated. by: modulo the width; the tensor itself for 0."""
    by %= width(words)
    if by == 0:
        return words
    return (words << by).bitwise_or_(shifted_right(words, width(words) - by))


def at_most(words: torch.Tensor, ceiling: int) -> torch.Tensor:
    """Which words, as unsigned ones, are not above: bool, of the same shape."""
    # With the upper bit flipped signed numbers are in the order of unsigned ones.
    upper = signed(1 << (width(words) - 1), width(words))
    return (words ^ upper) <= (signed(ceiling, width(words)) ^ upper)


def lower_half(words: torch.Tensor) -> torch.Tensor:
    """The lower 32 bits of words of 64."""
    return words.to(torch.int32)


def mixed(words: torch.Tensor) -> torch.Tensor:
    """The output function of splitmix64, of int64."""
    words = (words ^ shifted_right(words, 30)).mul_(signed(_MIXED[0], 64))
    words = (words ^ shifted_right(words, 27)).mul_(signed(_MIXED[1], 64))
    return words ^ shifted_right(words, 31)
