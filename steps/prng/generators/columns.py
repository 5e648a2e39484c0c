"""A generator of a few words: a family says how one step goes, this does the rest.

The words of all streams are taken apart into columns, (n,) each, so that a step is a handful of
numpy operations whatever the number of streams.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from steps.prng.base import (
    Floats,
    GeneratorError,
    Words,
    check_seeds,
    check_states,
    spread,
    unit_of_word,
)

Columns = tuple[Words, ...]

# Below this many streams numpy's overhead outweighs the arithmetic: one stream is then cut into
# lanes that run side by side.
_FEW_STREAMS = 256
_LANES = 4096
# A lane must be worth the jumps that find its start.
_RUN_PER_JUMP = 2


class ColumnGenerator(ABC):
    """Base of the families whose state is a few words; see steps.prng.base.Generator.

    A family gives _seed, _advance, _retreat and _output, and _leap where jump_cost is a number.
    """

    name: str
    word_bits: int
    state_words: int
    seedings: tuple[str, ...]
    reversible: bool = True
    unit_outputs: int = 1
    jump_cost: int | None = None

    def seed(self, seeds: Words, seeding: str) -> Words:
        """States (n, state_words) of the seeds (n,). Raises GeneratorError for another seeding."""
        check_seeds(self, seeds, seeding)
        return _pack(self._seed(seeds, seeding))

    def step(self, states: Words) -> tuple[Words, Words]:
        """The next raw output (n,) and the states (n, state_words) after it."""
        before = self._unpack(states)
        after = self._advance(before)
        return self._output(before, after), _pack(after)

    def step_back(self, states: Words) -> Words:
        """The states (n, state_words) from which step() gives these."""
        return _pack(self._retreat(self._unpack(states)))

    def run(self, states: Words, count: int) -> tuple[Words, Words]:
        """The next `count` raw outputs (n, count), and the states after them.

        Where jumps are cheap a few long streams are run in lanes; the outputs are the same.
        """
        streams = states.shape[0]
        lanes = 1
        if self.jump_cost is not None and 0 < streams < _FEW_STREAMS:
            lanes = min(_LANES // streams, count // (self.jump_cost * _RUN_PER_JUMP))
        if lanes < 2:
            return self._run_columns(states, count)
        check_states(self, states)
        length = -(-count // lanes)
        outputs, _ = self._run_columns(spread(self, states, lanes, length), length)
        return outputs.reshape(streams, lanes * length)[:, :count], self.jump(states, count)

    def jump(self, states: Words, steps: int) -> Words:
        """The states (n, state_words) `steps` raw outputs later, or earlier where negative."""
        columns = self._unpack(states)
        if self.jump_cost is not None and abs(steps) > self.jump_cost:
            return _pack(self._leap(columns, steps))
        for _ in range(abs(steps)):
            columns = self._advance(columns) if steps > 0 else self._retreat(columns)
        return _pack(columns)

    def unit(self, outputs: Words) -> Floats:
        """Floats (...) in [0, 1) from raw outputs (..., unit_outputs)."""
        return unit_of_word(outputs[..., 0], self.word_bits)

    @abstractmethod
    def _seed(self, seeds: Words, seeding: str) -> Columns:
        """The words of the seeds' states, (n,) each; the seeding is one of seedings."""

    @abstractmethod
    def _advance(self, columns: Columns) -> Columns:
        """The words after one step. Never writes into what it was given."""

    @abstractmethod
    def _retreat(self, columns: Columns) -> Columns:
        """The words before one step."""

    @abstractmethod
    def _output(self, before: Columns, after: Columns) -> Words:
        """The raw output (n,) of the step between the two."""

    def _leap(self, columns: Columns, steps: int) -> Columns:  # noqa: ARG002
        """The words `steps` steps away, either way, in about jump_cost steps of work."""
        raise GeneratorError(f"{self.name}: has no jump shorter than its steps")

    def _run_columns(self, states: Words, count: int) -> tuple[Words, Words]:
        columns = self._unpack(states)
        outputs = np.empty((count, states.shape[0]), np.uint64)
        for row in outputs:
            before, columns = columns, self._advance(columns)
            row[:] = self._output(before, columns)
        return outputs.T, _pack(columns)

    def _unpack(self, states: Words) -> Columns:
        check_states(self, states)
        return tuple(np.ascontiguousarray(states[:, word]) for word in range(self.state_words))


def _pack(columns: Columns) -> Words:
    return np.stack(columns, axis=1)
