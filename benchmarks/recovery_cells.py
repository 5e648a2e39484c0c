"""How many draws does it take to find a generator's state, and how long? One cell of the table.

A cell is a generator, a mapping, a gap and what is wrong with the history. Histories are simulated
from random states that the search is not told; a state counts as found where the draws that follow
the history are the ones it foretells. The number of draws is the smallest of a grid, each about an
eighth more than the last, with which every one of several tries in a row finds it, by bisection; a
number that fails has one more chance, and what was missed with as many draws or more is counted.
"""

from __future__ import annotations

import math
import statistics
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from steps.prng import Law, generator_named, mapping_named
from steps.prng.generators.mersenne import MersenneTwister
from steps.prng.recovery.algebra import recover_state
from steps.prng.recovery.brute_force import search_seeds
from steps.prng.recovery.found import CannotRecover, Found, Search, TooFewDraws
from steps.prng.recovery.question import Question
from steps.prng.recovery.seed_lanes import lanes_of
from steps.prng.simulate_history import PseudoMachine, Scenario, SimulatedHistory, simulate_history

MODULUS = 1000
CORRUPTIONS = (0.0, 0.05, 0.1, 0.25)
MISSING = 0.02
ALGEBRA = {
    "java": ("next_int", "mod", "digits_next_int"),
    "minstd_rand": ("mod", "multiply"),
    "minstd_rand0": ("mod",),
    "lcg32": ("mod", "multiply"),
    "xorshift32": ("mod", "multiply"),
    "xorshift64": ("mod", "multiply"),
    "xorshift64star": ("mod",),
    "xorshift128": ("mod", "multiply"),
    "mt19937": ("mod", "multiply", "next_int", "digits_mod"),
    "mt19937_64": ("mod", "multiply"),
}
SEARCHED = (
    ("java", "multiply", "scramble"),
    ("pcg32", "mod", "default_stream"),
    ("splitmix64", "mod", "raw"),
    ("xoshiro256plusplus", "mod", "splitmix64"),
    ("philox4x32", "mod", "key"),
    ("sfc64", "mod", "practrand"),
    ("sfc64", "mod", "seed_sequence"),
    ("mt19937", "mod", "init_genrand"),
    ("mt19937", "mod", "init_by_array"),
    ("mt19937_64", "mod", "init_genrand"),
)
# Gap and how many are tried, the true one last. A twister's gap takes seconds, so it is told.
_GAPS = ((0, 1), (20, 21), (500, 501))
_TWISTER_GAPS = ((0, 1), (20, 1), (100, 1))
_SEED_GAPS = ((0, 1), (20, 21), (500, 1))
# With more seeds than this a search over gaps would take minutes; without a kernel, fewer seeds.
_MOST_BITS_WITH_GAPS = 24
_SLOW_BITS = 14
_STEP = 1.125
_FEWEST, _MOST = 4, 2000
_TWISTER_FEWEST, _TWISTER_MOST = 2000, 16_000
_FORETOLD = 10
# A seeding that reaches every state, where the usual one does not.
_SEEDING = {"xorshift128": "splitmix64"}
_FURTHEST_START = 10_000

Outcome = Literal["found", "not found", "no method", "over budget"]


@dataclass(frozen=True, slots=True)
class Cell:
    """One question. tried: how many gaps. seeding, seed_bits: of a search over seeds, or None."""

    generator: str
    mapping: str
    gap: int
    tried: int
    corruption: float
    missing: float = 0.0
    seeding: str | None = None
    seed_bits: int | None = None

    @property
    def key(self) -> str:
        """What its line in the file is known by."""
        wrong = f"{self.corruption:.0%} wrong, {self.missing:.0%} missing"
        return f"table/{self.name}, gap {self.gap} of {self.tried}, {wrong}"

    @property
    def name(self) -> str:
        """Generator and mapping, and the seeds that are tried."""
        searched = f", {self.seeding} 2^{self.seed_bits}" if self.seeding else ""
        return f"{self.generator} {self.mapping}{searched}"

    @property
    def gaps(self) -> range:
        """The gaps that are tried."""
        return range(self.gap + 1 - self.tried, self.gap + 1)

    @property
    def grid(self) -> list[int]:
        """Numbers of draws to choose from."""
        fewest, most = _FEWEST, _MOST
        if self.seeding is None and isinstance(generator_named(self.generator), MersenneTwister):
            fewest, most = _TWISTER_FEWEST, _TWISTER_MOST
        steps = math.floor(math.log(most / fewest) / math.log(_STEP)) + 1
        return sorted({round(fewest * _STEP**step) for step in range(steps)} | {most})


@dataclass(frozen=True, slots=True)
class Measured:
    """What came of a cell. draws: the fewest that did, None if none; at_most: fewer may do, there
    was no time to try. searches, missed: with so many draws or more, and how many of them found
    nothing. cpu_s: of a search with so many, median. reason: why it was not found.
    """

    key: str
    cell: Cell
    outcome: Outcome
    draws: int | None
    at_most: bool
    searches: int
    missed: int
    cpu_s: float | None
    log10_hypotheses: float | None
    spent_s: float
    reason: str


@dataclass(frozen=True, slots=True)
class _Try:
    found: bool
    cpu_s: float
    log10_hypotheses: float | None
    reason: str


class _OverBudget(Exception):
    pass


def cells(seed_bits: int) -> Iterator[Cell]:
    """All of the table, the state's rows first; seed_bits: of the seeds that are searched."""
    for generator, mappings in ALGEBRA.items():
        twister = isinstance(generator_named(generator), MersenneTwister)
        for mapping in mappings:
            for gap, tried in _TWISTER_GAPS if twister else _GAPS:
                for corruption in CORRUPTIONS:
                    yield Cell(generator, mapping, gap, tried, corruption)
        if not twister:
            for corruption in CORRUPTIONS[:2]:
                yield Cell(generator, mappings[0], 0, 1, corruption, MISSING)
    for generator, mapping, seeding in SEARCHED:
        slow = lanes_of(generator, seeding) is None
        bits = min(seed_bits, _SLOW_BITS) if slow else seed_bits
        for gap, tried in _SEED_GAPS:
            told = slow or bits > _MOST_BITS_WITH_GAPS
            for corruption in CORRUPTIONS:
                yield Cell(
                    generator,
                    mapping,
                    gap,
                    1 if told else tried,
                    corruption,
                    seeding=seeding,
                    seed_bits=bits,
                )


def measure(cell: Cell, tries: int, budget_s: float) -> Measured:
    """The cell's number of draws and its time; stops soon after budget_s seconds of CPU time."""
    started = time.process_time()
    deadline = started + budget_s
    grid = cell.grid
    good: list[_Try] = []
    searches = missed = 0
    draws, reason = None, ""
    outcome: Outcome = "not found"
    fewest, most = -1, len(grid) - 1
    try:
        # The most draws first: where these do not help nothing does.
        while most - fewest > 1 or not good:
            middle = (fewest + most) // 2 if good else most
            made = _attempts(cell, tries, grid[middle], deadline)
            if all(one.found for one in made[-tries:]):
                good, most, outcome, draws = made[-tries:], middle, "found", grid[middle]
                searches += len(made)
                missed += sum(not one.found for one in made)
            elif good:
                fewest = middle
            else:
                reason = f"with {grid[middle]} draws: {made[-1].reason}"
                break
    except _OverBudget:
        outcome = "found" if good else "over budget"
    except CannotRecover as error:
        outcome, reason = "no method", str(error)
    return Measured(
        key=cell.key,
        cell=cell,
        outcome=outcome,
        draws=draws,
        at_most=bool(good) and most - fewest > 1,
        searches=searches,
        missed=missed,
        cpu_s=statistics.median(one.cpu_s for one in good) if good else None,
        log10_hypotheses=good[0].log10_hypotheses if good else None,
        spent_s=round(time.process_time() - started, 2),
        reason=reason,
    )


def _attempts(cell: Cell, tries: int, draws: int, deadline: float) -> list[_Try]:
    """Tries up to the first that fails, and once more: the last `tries` of them tell."""
    made: list[_Try] = []
    for chance in range(2):
        for number in range(tries):
            made.append(_attempt(cell, chance * tries + number, draws, deadline))
            if not made[-1].found:
                break
        else:
            break
    return made


def _attempt(cell: Cell, number: int, draws: int, deadline: float) -> _Try:
    """One search in a history of its own; the machine is the same for every number of draws.

    Raises CannotRecover where the method says that no number of draws would do.
    """
    history = _history(cell, number, draws)
    question = Question(
        generator_named(cell.generator),
        mapping_named(cell.mapping),
        MODULUS,
        np.array([record["draw"] for record in history.records], np.int64),
        cell.gaps,
        cell.corruption,
        cell.missing,
        should_stop=lambda: time.process_time() > deadline,
    )
    started = time.process_time()
    try:
        search = _search(question, cell)
    except TooFewDraws as error:
        return _Try(False, 0.0, None, str(error))
    except CannotRecover as error:
        if draws == cell.grid[-1]:
            raise
        return _Try(False, 0.0, None, str(error))
    cpu_s = time.process_time() - started
    if search.found is None and not search.complete:
        raise _OverBudget
    right = search.found is not None and _foretells(search.found, question, history)
    reason = "another state was found" if search.found else "the search came to its end"
    return _Try(right, cpu_s, search.log_hypotheses / math.log(10), reason)


def _search(question: Question, cell: Cell) -> Search:
    if cell.seeding is None or cell.seed_bits is None:
        return recover_state(question)
    return search_seeds(question, cell.seeding, seeds=range(1 << cell.seed_bits)).search


def _history(cell: Cell, number: int, draws: int) -> SimulatedHistory:
    identity = zlib.crc32(cell.key.encode())
    secret = np.random.default_rng([identity, number])
    bits = 64 if cell.seed_bits is None else cell.seed_bits
    seeding = _SEEDING.get(cell.generator, generator_named(cell.generator).seedings[0])
    machine = PseudoMachine(
        generator=cell.generator,
        mapping=cell.mapping,
        seeding=cell.seeding or seeding,
        seed=int(secret.integers(0, 1 << 64, dtype=np.uint64)) >> (64 - bits),
        gap=cell.gap,
        offset=0 if cell.seeding else int(secret.integers(_FURTHEST_START)),
    )
    scenario = Scenario(
        modulus=MODULUS,
        count=draws,
        machines=(machine,),
        corruption_rate=cell.corruption,
        missing_rate=cell.missing,
        next_count=_FORETOLD,
    )
    return simulate_history(scenario, np.random.default_rng([identity, number, draws]))


def _foretells(found: Found, question: Question, history: SimulatedHistory) -> bool:
    """Whether the state's own next draws are those that the machine made next.

    With draws missing somewhere it may be a few of them early or late.
    """
    law = Law(question.generator, question.mapping, question.modulus, found.gap)
    recorded = question.draws.shape[0]
    late = len(history.truth.missing)
    count = recorded - found.first + found.missing + late + _FORETOLD
    state = np.array([found.state], np.uint64)
    made: npt.NDArray[np.int64] = law.draws(state, count)[0]
    after = recorded - found.first + found.missing
    starts = range(max(after - late, 0), after + late + 1)
    wanted = np.array(history.truth.next_draws)
    return any(np.array_equal(made[start : start + _FORETOLD], wanted) for start in starts)
