"""Solve linear equations over GF(2), 64 coefficients to a word.

A matrix is uint64 (rows, words): column j is bit j % 64 of word j // 64. The words after the
columns' are right sides, 64 systems to a word that share their coefficients.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steps.prng.recovery.compiled import compiled

Words = NDArray[np.uint64]

_WORD = 64
# Words of a row that are brought up to date together: 8 tables of 256 such rows stay in the cache.
_TILE = 16
_TABLES = 8
_ONE = np.uint64(1)
_BYTE = np.uint64(255)


@dataclass(frozen=True, eq=False)
class Solution:
    """values: uint64 (columns,), bit s of each is the solution of system s; free columns are 0.

    rank: independent equations. inconsistent: int64 (64,), how many of the `leftover` equations,
    beyond those that determine the solution, contradict it, a system.
    """

    values: Words
    rank: int
    leftover: int
    inconsistent: NDArray[np.int64]


def solve(matrix: Words, columns: int) -> Solution:
    """Solve up to 64 systems with the same coefficients, by elimination in place.

    matrix: uint64 (rows, words + 1), the last word the right sides; it is overwritten. After the
    method of the four Russians (Arlazarov et al., 1970; Albrecht, Bard and Hart, M4RI, 2010):
    64 columns at a time, rows below are brought up to date from eight tables of 256 sums.
    """
    words = -(-columns // _WORD)
    if matrix.dtype != np.uint64 or matrix.ndim != 2 or matrix.shape[1] != words + 1:
        raise ValueError(
            f"{columns} columns want uint64 (rows, {words + 1}), got {matrix.dtype} {matrix.shape}"
        )
    pivots = np.full(min(columns, matrix.shape[0]), -1, np.int64)
    rank = _eliminate(matrix, columns, pivots)
    values = _substitute(matrix, columns, pivots[:rank])
    left = matrix[rank:, -1]
    bits = (left[:, np.newaxis] >> np.arange(_WORD, dtype=np.uint64)) & _ONE
    return Solution(values, int(rank), left.shape[0], bits.sum(axis=0).astype(np.int64))


@compiled
def _eliminate(matrix: Words, columns: int, pivots: NDArray[np.int64]) -> int:
    """Bring the matrix to echelon form; pivots[r] becomes row r's column. Returns the rank."""
    rows, words = matrix.shape
    tables = np.empty((_TABLES, 256, _TILE), np.uint64)
    seen = np.empty(rows, np.uint64)
    row_of_bit = np.empty(_WORD, np.int64)
    rank = 0
    for word in range(words - 1):
        width = min(_WORD, columns - word * _WORD)
        found = _pivots_of_word(matrix, rank, word, width, row_of_bit)
        for bit in range(_WORD):
            if row_of_bit[bit] >= 0:
                pivots[row_of_bit[bit]] = word * _WORD + bit
        rank += found
        if found == 0:
            continue
        for row in range(rank, rows):
            seen[row] = matrix[row, word]
        for first in range(word, words, _TILE):
            tile = min(_TILE, words - first)
            _fill_tables(matrix, first, tile, row_of_bit, tables)
            _add_from_tables(matrix, rank, first, tile, seen, tables)
        if rank == rows:
            break
    return rank


@compiled
def _pivots_of_word(
    matrix: Words, rank: int, word: int, width: int, row_of_bit: NDArray[np.int64]
) -> int:
    """Move independent rows up to `rank`, reduced among themselves in this word's columns.

    row_of_bit[b] becomes the row whose pivot is the word's bit b, or -1. Returns how many.
    """
    rows, words = matrix.shape
    for bit in range(_WORD):
        row_of_bit[bit] = -1
    found = 0
    for row in range(rank, rows):
        value = matrix[row, word]
        if value == 0:
            continue
        rest = value
        for bit in range(width):
            if (value >> np.uint64(bit)) & _ONE and row_of_bit[bit] >= 0:
                rest ^= matrix[row_of_bit[bit], word]
        if rest == 0:
            continue
        for bit in range(width):
            if (value >> np.uint64(bit)) & _ONE and row_of_bit[bit] >= 0:
                source = row_of_bit[bit]
                for place in range(word, words):
                    matrix[row, place] ^= matrix[source, place]
        fresh = 0
        while not (rest >> np.uint64(fresh)) & _ONE:
            fresh += 1
        for bit in range(width):
            target = row_of_bit[bit]
            if target >= 0 and (matrix[target, word] >> np.uint64(fresh)) & _ONE:
                for place in range(word, words):
                    matrix[target, place] ^= matrix[row, place]
        goal = rank + found
        if goal != row:
            for place in range(word, words):
                kept = matrix[goal, place]
                matrix[goal, place] = matrix[row, place]
                matrix[row, place] = kept
        row_of_bit[fresh] = goal
        found += 1
        if found == width:
            break
    return found


@compiled
def _fill_tables(
    matrix: Words, first: int, tile: int, row_of_bit: NDArray[np.int64], tables: Words
) -> None:
    """tables[t, b]: the sum of the pivot rows of bits 8 t + i for which bit i of b is set."""
    for table in range(_TABLES):
        for place in range(tile):
            tables[table, 0, place] = 0
        for low in range(8):
            source = row_of_bit[8 * table + low]
            size = 1 << low
            for index in range(size):
                for place in range(tile):
                    total = tables[table, index, place]
                    if source >= 0:
                        total ^= matrix[source, first + place]
                    tables[table, size + index, place] = total


@compiled
def _add_from_tables(
    matrix: Words, rank: int, first: int, tile: int, seen: Words, tables: Words
) -> None:
    """Clear the word's columns, as `seen` has them, from all rows below the pivots."""
    for row in range(rank, matrix.shape[0]):
        bits = seen[row]
        if bits == 0:
            continue
        for table in range(0, _TABLES, 2):
            even = np.int64((bits >> np.uint64(8 * table)) & _BYTE)
            odd = np.int64((bits >> np.uint64(8 * table + 8)) & _BYTE)
            for place in range(tile):
                both = tables[table, even, place] ^ tables[table + 1, odd, place]
                matrix[row, first + place] ^= both


@compiled
def _substitute(matrix: Words, columns: int, pivots: NDArray[np.int64]) -> Words:
    """The systems' values (columns,) from the echelon form."""
    words = matrix.shape[1] - 1
    values = np.zeros(columns, np.uint64)
    # Rows of one word are reduced among themselves and in no order of bits: any order will do.
    for row in range(pivots.shape[0] - 1, -1, -1):
        total = matrix[row, words]
        for word in range(pivots[row] // _WORD, words):
            bits = matrix[row, word]
            column = word * _WORD
            while bits:
                if bits & _ONE and column != pivots[row]:
                    total ^= values[column]
                bits >>= _ONE
                column += 1
        values[pivots[row]] = total
    return values
