"""Signed integers of torch do the arithmetic of unsigned words."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gpu.worker.seeds.words import at_most, lower_half, mixed, shifted_right, signed, turned_left
from steps.prng.generators.splitmix import splitmix64_outputs

BITS = {32: (np.uint32, np.int32), 64: (np.uint64, np.int64)}


@pytest.fixture(params=sorted(BITS))
def bits(request):
    return request.param


def words(bits):
    """As numpy's unsigned, and as torch's signed."""
    unsigned, of_torch = BITS[bits]
    edges = [0, 1, (1 << bits) - 1, 1 << (bits - 1), (1 << (bits - 1)) - 1]
    rest = np.random.default_rng(1).integers(0, 1 << bits, 200, np.uint64, endpoint=False)
    made = np.array([*edges, *rest.tolist()], np.uint64).astype(unsigned)
    return made, torch.from_numpy(made.view(of_torch).copy())


def as_unsigned(tensor):
    return tensor.numpy().view(BITS[8 * tensor.element_size()][0])


def test_shifts_to_the_right_move_zeros_in(bits):
    numbers, tensor = words(bits)
    for by in (0, 1, 7, bits - 1):
        moved = as_unsigned(shifted_right(tensor, by))
        np.testing.assert_array_equal(moved, numbers >> numbers.dtype.type(by))


def test_turns_lose_no_bit(bits):
    numbers, tensor = words(bits)
    for by in (0, 1, 13, bits - 1, bits):
        left = by % bits
        wanted = [(n << left | n >> bits - left) % (1 << bits) for n in numbers.tolist()]
        assert as_unsigned(turned_left(tensor, by)).tolist() == wanted


def test_comparison_is_of_unsigned_words(bits):
    numbers, tensor = words(bits)
    for ceiling in (0, 5, (1 << (bits - 1)) - 1, 1 << (bits - 1), (1 << bits) - 1):
        np.testing.assert_array_equal(at_most(tensor, ceiling), numbers <= ceiling)


def test_constants_keep_their_bits(bits):
    for value in (0, 1, 1 << (bits - 1), (1 << bits) - 1, 1 << bits, -1, 3 << (bits - 2)):
        assert signed(value, bits) % (1 << bits) == value % (1 << bits)
        assert -(1 << (bits - 1)) <= signed(value, bits) < 1 << (bits - 1)


def test_the_lower_half_of_a_word_is_its_lower_32_bits():
    numbers, tensor = words(64)
    np.testing.assert_array_equal(as_unsigned(lower_half(tensor)), numbers.astype(np.uint32))


def test_mixing_is_splitmix64_s():
    numbers, tensor = words(64)
    (wanted,) = splitmix64_outputs(numbers, 1)
    made = mixed(tensor + signed(0x9E3779B97F4A7C15, 64))
    np.testing.assert_array_equal(as_unsigned(made), wanted)
