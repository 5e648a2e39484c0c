"""Histories with known truth: what made every draw is written down beside them."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal, Self, TypedDict

import numpy as np
from pydantic import Field, model_validator

from steps.contract import Frozen
from steps.prng.base import GeneratorError, Words, check_states
from steps.prng.generators import generator_named
from steps.prng.law import Law
from steps.prng.mappings import Draws, mapping_named

Entropy = Callable[[int], bytes]

# Programs that seed themselves anew take the time, or as many bits as it has.
_RESEED_BITS = 32
# Calls in gaps are made, not jumped over, where a mapping may throw outputs away: about a minute.
_MOST_CALLS = 1_000_000_000

# 5.0, "5" and true are no whole numbers.
Whole = Annotated[int, Field(strict=True)]


class PseudoMachine(Frozen):
    """A machine that is a generator, begun from a seed or from a state.

    state: state_words words as steps.prng.base has them. seeding: also how it is seeded anew.
    gap, offset: as in steps.prng.law.
    """

    kind: Literal["pseudo"] = "pseudo"
    generator: str
    mapping: str
    seeding: str
    seed: Annotated[Whole, Field(ge=0, lt=1 << 64)] | None = None
    state: tuple[Annotated[Whole, Field(ge=0, lt=1 << 64)], ...] | None = None
    gap: Annotated[Whole, Field(ge=0)] = 0
    offset: Annotated[Whole, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _can_begin(self) -> Self:
        generator = generator_named(self.generator)
        if (self.seed is None) == (self.state is None):
            raise ValueError("a machine wants a seed or a state, one of the two")
        if self.seeding not in generator.seedings:
            known = ", ".join(generator.seedings)
            raise GeneratorError(
                f"{self.generator}: seeding must be one of {known}; got {self.seeding!r}"
            )
        if self.state is not None:
            begun = _words(self.state)[np.newaxis]
            check_states(generator, begun)
        else:
            assert self.seed is not None  # noqa: S101
            begun = generator.seed(_words((self.seed,)), self.seeding)
        if np.array_equal(generator.run(begun, 1)[1], begun):
            raise ValueError(f"{self.generator}: its state would never change from there")
        return self

    def law(self, modulus: int) -> Law:
        """The machine's law of position. Raises MappingError where it has no such draws."""
        return Law(
            generator_named(self.generator),
            mapping_named(self.mapping),
            modulus,
            self.gap,
            self.offset,
        )


class TrueMachine(Frozen):
    """A machine that draws from the operating system's randomness, every value as likely."""

    kind: Literal["true"] = "true"


Machine = Annotated[PseudoMachine | TrueMachine, Field(discriminator="kind")]


class Scenario(Frozen):
    """What a history is to be made of.

    modulus: draws are 0..modulus - 1. count: records of the history. machines: one, or two that
    take turns: at random, the second one making second_share of the draws, or by sessions, the
    first session's draws from the first. corruption_rate: of the records, how many show another
    draw than the one that was made. missing_rate: of the draws made, how many have no record;
    their date and session stay empty. reseed_every: draws after which a machine is seeded anew.
    next_count: draws made after the history's end, for the truth alone.
    """

    modulus: Annotated[Whole, Field(ge=2, le=1_000_000)] = 1000
    count: Annotated[Whole, Field(ge=1, le=1_000_000)]
    machines: Annotated[tuple[Machine, ...], Field(min_length=1, max_length=2)]
    mixing: Literal["random", "sessions"] = "random"
    second_share: Annotated[float, Field(gt=0, lt=1)] = 0.5
    corruption_rate: Annotated[float, Field(ge=0, le=0.9)] = 0.0
    missing_rate: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    reseed_every: Annotated[Whole, Field(ge=1)] | None = None
    next_count: Annotated[Whole, Field(ge=0, le=1000)] = 10
    start: Annotated[datetime.date, Field(le=datetime.date(4000, 1, 1))] = datetime.date(2015, 1, 1)
    sessions: Annotated[tuple[str, ...], Field(min_length=1)] = ("midday", "evening")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        draws = self.count + self.next_count
        for machine in self.machines:
            if isinstance(machine, PseudoMachine):
                machine.law(self.modulus)
                unjumped = generator_named(machine.generator).jump_cost is None
                calls = draws * (machine.gap + 1) + machine.offset * unjumped
                if calls > _MOST_CALLS:
                    raise ValueError(
                        f"{draws} draws with gap {machine.gap} and offset {machine.offset} of "
                        f"{machine.generator} are {calls:,} calls; {_MOST_CALLS:,} is the most"
                    )
        if len(set(self.sessions)) < len(self.sessions):
            raise ValueError(f"sessions: every name once, got {', '.join(self.sessions)}")
        if self.mixing == "sessions" and len(self.machines) > len(self.sessions):
            raise ValueError("machines that take turns by sessions want a session each")
        return self


class Truth(Frozen):
    """Everything about a simulated history that its records do not say.

    missing: draws made that have no record, and corrupted: records that show another draw, both by
    number from 0. machine_of: for each record the machine that made it, 0 or 1. seeds: for each
    machine the seeds it was begun with, in order; none for a state or for true randomness.
    next_draws: what was made right after the last record, all of it, as it was made.
    """

    scenario: Scenario
    draws_made: int
    missing: tuple[int, ...]
    corrupted: tuple[int, ...]
    machine_of: tuple[int, ...]
    seeds: tuple[tuple[int, ...], ...]
    next_draws: tuple[int, ...]


class Record(TypedDict):
    """One row of a draw history; date as YYYY-MM-DD."""

    date: str
    session: str
    draw: int


@dataclass(frozen=True, slots=True)
class SimulatedHistory:
    """Records as a history file has them, oldest first, and the truth about them."""

    records: list[Record]
    truth: Truth


def simulate_history(
    scenario: Scenario, rng: np.random.Generator, entropy: Entropy = os.urandom
) -> SimulatedHistory:
    """Make a history. rng: what goes wrong and when; entropy: the bytes of true machines."""
    # Draws lost before each record: how many failures come before each success.
    lost = rng.geometric(1 - scenario.missing_rate, scenario.count) - 1
    kept = np.cumsum(lost + 1) - 1
    recorded = int(kept[-1]) + 1
    machine_of = _turns(scenario, recorded + scenario.next_count, rng)

    made = np.empty(machine_of.size, np.int64)
    seeds = []
    for number, machine in enumerate(scenario.machines):
        mine = np.flatnonzero(machine_of == number)
        made[mine], used = _machine_draws(machine, mine.size, scenario, rng, entropy)
        seeds.append(used)

    corrupted = np.flatnonzero(rng.random(scenario.count) < scenario.corruption_rate)
    shown = made[kept]
    shown[corrupted] += rng.integers(1, scenario.modulus, corrupted.size)
    shown %= scenario.modulus
    truth = Truth(
        scenario=scenario,
        draws_made=recorded,
        missing=tuple(np.setdiff1d(np.arange(recorded), kept).tolist()),
        corrupted=tuple(corrupted.tolist()),
        machine_of=tuple(machine_of[kept].tolist()),
        seeds=tuple(seeds),
        next_draws=tuple(made[recorded:].tolist()),
    )
    return SimulatedHistory(_records(scenario, kept, shown), truth)


def _turns(scenario: Scenario, count: int, rng: np.random.Generator) -> Draws:
    """Which machine makes each draw, int64 (count,)."""
    if len(scenario.machines) == 1:
        return np.zeros(count, np.int64)
    if scenario.mixing == "sessions":
        return np.arange(count) % len(scenario.sessions) % 2
    return (rng.random(count) < scenario.second_share).astype(np.int64)


def _machine_draws(
    machine: PseudoMachine | TrueMachine,
    count: int,
    scenario: Scenario,
    rng: np.random.Generator,
    entropy: Entropy,
) -> tuple[Draws, tuple[int, ...]]:
    """A machine's own draws (count,), and the seeds it took."""
    match machine:
        case TrueMachine():
            return true_draws(count, scenario.modulus, entropy), ()
        case PseudoMachine():
            each = scenario.reseed_every or max(1, count)
            anew = rng.integers(0, 1 << _RESEED_BITS, max(0, -(-count // each) - 1)).tolist()
            seeds = (*([] if machine.seed is None else [machine.seed]), *anew)
            law = machine.law(scenario.modulus)
            states = law.generator.seed(_words(seeds), machine.seeding)
            if machine.state is not None:
                states = np.concatenate([_words(machine.state)[np.newaxis], states])
            return law.draws(states, each).reshape(-1)[:count], seeds


def true_draws(count: int, modulus: int, entropy: Entropy = os.urandom) -> Draws:
    """Draws (count,) of 0..modulus - 1, every one as likely, from bytes of true randomness."""
    # The last, incomplete multiple of the modulus would make small draws likelier.
    last = np.uint64((1 << 64) // modulus * modulus - 1)
    drawn = np.zeros(0, np.uint64)
    while missing := count - drawn.size:
        words = np.frombuffer(entropy(8 * missing), np.dtype("<u8"))
        drawn = np.concatenate([drawn, words[words <= last] % modulus])
    return drawn.astype(np.int64)


def _records(scenario: Scenario, kept: Draws, shown: Draws) -> list[Record]:
    sessions = scenario.sessions
    return [
        {
            "date": (scenario.start + datetime.timedelta(days=number // len(sessions))).isoformat(),
            "session": sessions[number % len(sessions)],
            "draw": draw,
        }
        for number, draw in zip(kept.tolist(), shown.tolist(), strict=True)
    ]


def _words(values: tuple[int, ...]) -> Words:
    return np.array(values, np.uint64)
