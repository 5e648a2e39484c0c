"""Sifting seeds of a generator on a device: what is asked of a worker, and what it answers.

Words of 64 bits go over the wire as JSON integers from 0 to 2^64 - 1.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

SeedKernel = Literal[
    "java",
    "pcg32",
    "xorshift32",
    "xorshift64",
    "splitmix64",
    "xoshiro256plusplus",
    "sfc64",
    "philox4x32",
    "mt19937",
]

Word = Annotated[int, Field(ge=0, le=(1 << 64) - 1)]
Positive = Annotated[int, Field(ge=1)]


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SiftSeeds(_Message):
    """Which of the seeds first, first + 1, ..., `size` of them, make outputs as they were seen?

    kernel, constants, moves: the generator, and how it gets to the output of each look. word: bits
    of an output. shift, tests: a look matches where ((output >> shift) - less) * inverse, modulo
    2^word, turned to the right by `right` bits, is at most `ceiling`; each test is (less, inverse,
    right, ceiling). Seeds with `floor` matches in the first `looks` pass; of these, survivors have
    `total_floor` in all. part: so many seeds are counted together. keep: most survivors told of a
    part. family: of the worker that has torch.
    """

    command: Literal["sift_seeds"] = "sift_seeds"
    id: str
    family: Literal["neural_net"] = "neural_net"
    kernel: SeedKernel
    word: Literal[32, 64]
    first: Word
    size: Positive
    part: Positive
    constants: tuple[Word, ...]
    moves: Annotated[tuple[tuple[Word, Word], ...], Field(min_length=1, max_length=127)]
    shift: Annotated[int, Field(ge=0, le=63)]
    tests: tuple[tuple[Word, Word, Word, Word], ...]
    looks: Positive
    floor: Positive
    total_floor: Positive
    keep: Positive
    deadline_s: float | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if len(self.tests) != len(self.moves):
            raise ValueError(f"{len(self.moves)} moves, but {len(self.tests)} tests")
        if self.looks > len(self.moves):
            raise ValueError(f"looks must be 1..{len(self.moves)}, got {self.looks}")
        if self.first + self.size > 1 << 64:
            raise ValueError("the last seed must be below 2^64")
        return self


class PartSifted(_Message):
    """What came of one part. passed: seeds that passed the first looks; survivors: all looks.

    seeds, matched: the survivors with the most matches, the best first, equal ones in their order.
    """

    passed: Annotated[int, Field(ge=0)]
    survivors: Annotated[int, Field(ge=0)]
    seeds: tuple[Word, ...]
    matched: tuple[Annotated[int, Field(ge=1, le=127)], ...]


class SiftDone(_Message):
    """All parts, in order."""

    status: Literal["sift_complete"] = "sift_complete"
    id: str
    parts: tuple[PartSifted, ...]
    duration_s: float
    device: str
