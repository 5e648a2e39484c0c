from __future__ import annotations

import numpy as np
import pytest

from steps.prng.recovery.gf2 import solve


def packed(coefficients, sides):
    rows, columns = coefficients.shape
    padded = np.zeros((rows, -(-columns // 64) * 64), np.uint8)
    padded[:, :columns] = coefficients
    words = np.packbits(padded, axis=1, bitorder="little").view(np.uint64)
    return np.concatenate([words, sides[:, np.newaxis].astype(np.uint64)], axis=1)


def rank_by_hand(coefficients):
    rows = [int("".join(map(str, row)), 2) for row in coefficients]
    rank = 0
    while rows:
        pivot = rows.pop()
        if pivot:
            rank += 1
            low = pivot & -pivot
            rows = [row ^ pivot if row & low else row for row in rows]
    return rank


@pytest.mark.parametrize(("rows", "columns"), [(90, 64), (300, 200), (150, 130), (40, 70), (5, 1)])
def test_a_random_system_is_solved(rows, columns):
    chance = np.random.default_rng(rows)
    coefficients = chance.integers(0, 2, (rows, columns))
    sides = coefficients @ chance.integers(0, 2, columns) % 2
    solution = solve(packed(coefficients, sides), columns)
    values = (solution.values & np.uint64(1)).astype(int)
    assert solution.rank == rank_by_hand(coefficients)
    assert (coefficients @ values % 2 == sides).all()
    assert solution.leftover == rows - solution.rank
    assert solution.inconsistent[0] == 0


@pytest.mark.parametrize("density", [0.01, 0.05, 0.5])
def test_dependent_and_empty_columns_are_left_free(density):
    chance = np.random.default_rng(7)
    coefficients = (chance.random((260, 150)) < density).astype(int)
    coefficients[:, 20:90] = coefficients[:, [3]]
    coefficients[:, 5] = 0
    sides = coefficients @ chance.integers(0, 2, 150) % 2
    solution = solve(packed(coefficients, sides), 150)
    values = (solution.values & np.uint64(1)).astype(int)
    assert solution.rank == rank_by_hand(coefficients)
    assert (coefficients @ values % 2 == sides).all()


def test_systems_share_their_coefficients_and_nothing_else():
    chance = np.random.default_rng(3)
    coefficients = chance.integers(0, 2, (200, 100))
    truths = chance.integers(0, 2, (64, 100))
    truths[9] = chance.integers(0, 2, 100)
    sides = coefficients @ truths.T % 2
    sides[:, 9] = chance.integers(0, 2, 200)  # of no solution
    words = (sides.astype(np.uint64) << np.arange(64, dtype=np.uint64)).sum(axis=1)
    solution = solve(packed(coefficients, words), 100)
    found = solution.values[:, np.newaxis] >> np.arange(64, dtype=np.uint64) & np.uint64(1)
    sound = [system for system in range(64) if system != 9]
    assert (found.T[sound] == truths[sound]).all()
    assert (solution.inconsistent[sound] == 0).all()
    assert 30 <= solution.inconsistent[9] <= 70


def test_a_matrix_of_another_width_is_refused():
    with pytest.raises(ValueError, match=r"100 columns want uint64 \(rows, 3\), got"):
        solve(np.zeros((4, 2), np.uint64), 100)
