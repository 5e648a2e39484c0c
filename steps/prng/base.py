"""What every generator is: many streams at once, stepped forward and back by the same face.

A state is one row of 64-bit words, whatever the width of the generator's own words, so that numpy
steps a whole column of streams at a time. All arithmetic is on uint64 arrays: with a bare number of
numpy it would warn, with int64 it would silently turn to floats.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

# Always uint64. Typed loosely because numpy's stubs take words << 3 for signed numbers.
Words = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

MASK32 = (1 << 32) - 1
MASK64 = (1 << 64) - 1


class GeneratorError(ValueError):
    """A state, seed or name that a generator cannot use; says what was wanted and what was got."""


class Generator(Protocol):
    """One kind of generator. Words of a state narrower than 64 bits lie in the low bits."""

    @property
    def name(self) -> str:
        """As the registry has it."""
        ...

    @property
    def word_bits(self) -> int:
        """Width of a raw output."""
        ...

    @property
    def state_words(self) -> int:
        """uint64 words of a state."""
        ...

    @property
    def seedings(self) -> tuple[str, ...]:
        """The names that seed() knows, the usual one first."""
        ...

    @property
    def reversible(self) -> bool:
        """Whether step_back and a negative jump exist."""
        ...

    @property
    def unit_outputs(self) -> int:
        """Raw outputs that the generator's own conversion to a float eats."""
        ...

    @property
    def jump_cost(self) -> int | None:
        """About how many single steps the longest jump costs; None where it costs them all."""
        ...

    def seed(self, seeds: Words, seeding: str) -> Words:
        """States (n, state_words) of the seeds (n,). Raises GeneratorError for another seeding.

        Seeds are cut to the width that the seeding takes, as the C type in its place would.
        """
        ...

    def step(self, states: Words) -> tuple[Words, Words]:
        """The next raw output (n,) of every stream, and the states (n, state_words) after it."""
        ...

    def step_back(self, states: Words) -> Words:
        """The states (n, state_words) from which step() gives these."""
        ...

    def run(self, states: Words, count: int) -> tuple[Words, Words]:
        """The next `count` raw outputs (n, count), not always contiguous, and the states after."""
        ...

    def jump(self, states: Words, steps: int) -> Words:
        """The states (n, state_words) `steps` raw outputs later, or earlier where negative."""
        ...

    def unit(self, outputs: Words) -> Floats:
        """Floats (...) in [0, 1) from raw outputs (..., unit_outputs), as its own library does."""
        ...


def check_states(generator: Generator, states: Words) -> None:
    """Raise GeneratorError unless states is uint64 (n, state_words)."""
    wanted = f"{generator.name}: states must be uint64 (n, {generator.state_words})"
    if states.dtype != np.uint64 or states.ndim != 2 or states.shape[1] != generator.state_words:
        raise GeneratorError(f"{wanted}, got {states.dtype} {states.shape}")


def check_seeds(generator: Generator, seeds: Words, seeding: str) -> None:
    """Raise GeneratorError unless seeds is uint64 (n,) and the generator knows the seeding."""
    if seeding not in generator.seedings:
        known = ", ".join(generator.seedings)
        raise GeneratorError(f"{generator.name}: seeding must be one of {known}; got {seeding!r}")
    if seeds.dtype != np.uint64 or seeds.ndim != 1:
        raise GeneratorError(
            f"{generator.name}: seeds must be uint64 (n,), got {seeds.dtype} {seeds.shape}"
        )


def spread(generator: Generator, states: Words, lanes: int, stride: int) -> Words:
    """Every stream at `lanes` places, `stride` steps apart: states (n * lanes, state_words).

    Row i * lanes + j is stream i after j * stride steps. The places are doubled: log2(lanes) jumps.
    """
    reached = states[:, np.newaxis, :]
    while (have := reached.shape[1]) < lanes:
        more = reached[:, : lanes - have]
        flat = np.ascontiguousarray(more).reshape(-1, generator.state_words)
        ahead = generator.jump(flat, have * stride).reshape(more.shape)
        reached = np.concatenate([reached, ahead], axis=1)
    return np.ascontiguousarray(reached).reshape(-1, generator.state_words)


def unit_of_word(outputs: Words, word_bits: int) -> Floats:
    """One raw output as a float in [0, 1): its upper 53 bits at most, times a power of two."""
    used = min(word_bits, 53)
    values: Floats = ((outputs >> (word_bits - used)) * 2.0**-used).astype(np.float64, copy=False)
    return values
