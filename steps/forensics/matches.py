"""Say what many candidates at once make of any draws, in blocks that are held one at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from steps.forensics.documents import CandidateRecord
from steps.prng.base import Words
from steps.prng.generators import generator_named
from steps.prng.law import Law
from steps.prng.mappings import Draws, Mapping, Unrejected, mapping_named

THREADS = 2
# 32 MiB of draws, and of states: what one block holds.
_NUMBERS_AT_ONCE = 1 << 22
# As many as a law runs side by side.
_MOST_ROWS = 1 << 12
# Outputs that are read in gaps; beyond that a jump passes over what a gap throws away.
_MOST_READ = 1 << 27

Rows = NDArray[np.intp]
# How the states of some candidates are found at a draw: seeding and offset, or None and the draw
# that the recorded states come before; then `missing`, and from which draw on it counts.
_Start = tuple[str | None, int, int, int]


@dataclass(frozen=True, eq=False)
class Block:
    """Candidates of one generator, mapping and gap. rows: their places in the whole sequence."""

    rows: Rows
    law: Law = field(repr=False)
    starts: tuple[tuple[_Start, Words], ...] = field(repr=False)

    def draws(self, first: int, count: int) -> Draws:
        """What they say draws first..first + count - 1 of their stream are, int64 (rows, count).

        Draws missing from the record are counted at and after the end of what a candidate
        explains, and none before: where in between they lie is not on record.
        """
        plain, said = [], np.empty((self.rows.size, count), np.int64)
        where = []
        done = 0
        for (seeding, origin, missing, stop), words in self.starts:
            rows = slice(done, done + words.shape[0])
            done = rows.stop
            states = self._at(seeding, origin, words, first + (missing if first >= stop else 0))
            if missing and first < stop < first + count:
                wide = self.law.draws(states, count + missing)
                place = np.arange(count)
                place[stop - first :] += missing
                said[rows] = wide[:, place]
            else:
                plain.append(states)
                where.append(np.arange(rows.start, rows.stop))
        if plain:
            said[np.concatenate(where)] = self.law.draws(np.concatenate(plain), count)
        return said

    def _at(self, seeding: str | None, origin: int, words: Words, index: int) -> Words:
        """The states from which draw `index` is read next."""
        if seeding is None:
            return self.law.states_before(words, index - origin)
        law = Law(self.law.generator, self.law.mapping, self.law.modulus, self.law.gap, origin)
        return law.states_before(law.generator.seed(words[:, 0], seeding), index)


def blocks_of(candidates: Sequence[CandidateRecord], first: int, count: int) -> tuple[Block, ...]:
    """All candidates in blocks, for draws from `first` on, `count` of them.

    A block is small enough for about 100 MiB. Where the gaps of all candidates hold more than 2^27
    outputs, what the mapping throws away inside a gap is not looked at
    (steps.prng.mappings.Unrejected): with nextInt(1000) one candidate in 3.3 million / (count *
    gap) is then wrong from there on.
    """
    order = sorted(range(len(candidates)), key=lambda row: _law_key(candidates[row]))
    unseen = (abs(first) + count) * sum(candidate.gap for candidate in candidates)
    made: list[Block] = []
    for (generator, mapping, modulus, gap), group in groupby(
        order, key=lambda row: _law_key(candidates[row])
    ):
        rows = list(group)
        named: Mapping = mapping_named(mapping)
        if gap and unseen > _MOST_READ:
            named = Unrejected(named)
        law = Law(generator_named(generator), named, modulus, gap)
        numbers = max(count, 4 * law.generator.state_words)
        height = max(1, min(_MOST_ROWS, _NUMBERS_AT_ONCE // numbers))
        rows.sort(key=lambda row: _start_key(candidates[row]))
        for done in range(0, len(rows), height):
            made.append(_block(candidates, rows[done : done + height], law))
    return tuple(made)


def predicted_draws(
    candidates: Sequence[CandidateRecord], first: int, count: int, *, threads: int = THREADS
) -> Draws:
    """What each candidate says draws first.. of its own stream are, int64 (n, count).

    As Block.draws says it. first may be negative where the generators can be stepped back.
    """
    said = np.empty((len(candidates), count), np.int64)

    def fill(block: Block) -> None:
        said[block.rows] = block.draws(first, count)

    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(fill, blocks_of(candidates, first, count)):
            pass
    return said


def predicted_beside(
    candidates: Sequence[CandidateRecord], recorded: Draws, *, threads: int = THREADS
) -> Draws:
    """As predicted_draws from draw 0 on, beside recorded draws (count,): int64 (n, count).

    Where draws are missing from the record inside of what a candidate explains, they are taken to
    be missing where that gives the most matches.
    """
    count = recorded.shape[0]
    said = predicted_draws(candidates, 0, count, threads=threads)
    for row, candidate in enumerate(candidates):
        first, stop = max(candidate.first, 0), min(candidate.stop, count)
        if candidate.missing and first < stop:
            # Up to its end the candidate counts none: so many draws more are read.
            whole = candidate.model_copy(update={"stop": stop + candidate.missing + 1})
            wide = predicted_draws([whole], first, stop - first + candidate.missing, threads=1)[0]
            said[row, first:stop] = _with_holes(wide, recorded[first:stop], candidate.missing)
    return said


def _with_holes(wide: Draws, recorded: Draws, missing: int) -> Draws:
    """The draws (count,) of wide (count + missing,) on the path with the most matches.

    The shift never falls and is `missing` at most.
    """
    count = recorded.shape[0]
    shifts = np.arange(missing + 1)
    matches = np.zeros(missing + 1, np.int64)
    came_from = np.empty((count, missing + 1), np.intp)
    for draw in range(count):
        # The best of all shifts up to each, the smallest where several are.
        best = np.maximum.accumulate(matches)
        came_from[draw] = np.maximum.accumulate(
            np.where(np.diff(best, prepend=best[0] - 1), shifts, 0)
        )
        matches = best + ((wide[draw + shifts] == recorded[draw]) & (recorded[draw] >= 0))
    path = np.empty(count, np.intp)
    shift = int(np.argmax(matches))
    for draw in range(count - 1, -1, -1):
        path[draw] = shift
        shift = int(came_from[draw, shift])
    likeliest: Draws = wide[np.arange(count) + path]
    return likeliest


def _law_key(candidate: CandidateRecord) -> tuple[str, str, int, int]:
    return candidate.generator, candidate.mapping, candidate.modulus, candidate.gap


def _start_key(candidate: CandidateRecord) -> tuple[str, int, int, int]:
    seeding, origin, missing, stop = _start(candidate)
    return seeding or "", origin, missing, stop


def _start(candidate: CandidateRecord) -> _Start:
    # Without missing draws it is no matter where the explained stretch ends.
    stop = candidate.stop if candidate.missing else 0
    if candidate.state is not None:
        return None, candidate.first, candidate.missing, stop
    return candidate.seeding, candidate.offset or 0, candidate.missing, stop


def _block(candidates: Sequence[CandidateRecord], rows: Sequence[int], law: Law) -> Block:
    starts = []
    for start, group in groupby(rows, key=lambda row: _start(candidates[row])):
        words = np.array([_words(candidates[row]) for row in group], np.uint64)
        starts.append((start, words))
    return Block(np.array(rows, np.intp), law, tuple(starts))


def _words(candidate: CandidateRecord) -> Iterable[int]:
    if candidate.state is not None:
        return candidate.state
    assert candidate.seed is not None  # noqa: S101  # a candidate has one of the two
    return (candidate.seed,)
