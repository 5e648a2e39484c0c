"""A candidate for the generator behind a stream, as the files of the forensics have it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from steps.contract import Frozen

Word = Annotated[int, Field(ge=0, lt=1 << 64)]


class CandidateRecord(Frozen):
    """A generator in a state (or from a seed) that may have made a stream.

    Either seed and seeding (call `offset` after seeding is draw 0 of the stream), or state: the
    words from which draw number `first` is read next. gap as in steps.prng.law. The candidate
    explains draws first..stop - 1: `matches` of the `compared` readable ones, `missing` draws in
    between being absent from the record. log_ratio, log_hypotheses: nats, as in
    steps.prng.recovery.found.

    seed_known: True where seed and place are evidence: the seed was searched for, or read off the
    state, and is so small and so near that a state which no such seed has made would hardly have
    one (seed_chance, once in a thousand at most). False where the seed is an equivalent only:
    seeding with it gives these draws, as some seed does for every state, and where and with what
    the machine was seeded is not known. Of no meaning without a seed. seed_calls: calls from the
    seeding to draw `first`, of a seed that was read off a state. seen_bits: the draws depend
    on the lowest so many bits of the state alone, and the others are not determined; None where on
    all of it.
    """

    stream: str
    generator: str
    mapping: str
    modulus: int
    gap: int
    first: int
    stop: int
    matches: int
    compared: int
    missing: int
    log_ratio: float
    log_hypotheses: float
    origin: Literal["algebra", "seeds", "sieve"]
    seeding: str | None = None
    seed: Word | None = None
    offset: Annotated[int, Field(ge=0)] | None = None
    state: tuple[Word, ...] | None = None
    seed_known: bool = True
    seed_chance: float | None = None
    seed_calls: Annotated[int, Field(ge=0)] | None = None
    seen_bits: int | None = None

    @property
    def score(self) -> float:
        """Nats of evidence left after the search has been paid for."""
        return self.log_ratio - self.log_hypotheses
