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
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from benchmarks.recovery_cells import MODULUS, Cell
from steps.prng import Law, generator_named, mapping_named
from steps.prng.recovery.algebra import recover_state
from steps.prng.recovery.brute_force import search_seeds
from steps.prng.recovery.found import CannotRecover, Found, Search, TooFewDraws
from steps.prng.recovery.question import Question
from steps.prng.simulate_history import PseudoMachine, Scenario, SimulatedHistory, simulate_history

_FORETOLD = 10
# A seeding that reaches every state, where the usual one does not.
_SEEDING = {"xorshift128": "splitmix64"}
_FURTHEST_START = 10_000

Outcome = Literal["found", "not found", "no method", "over budget"]


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
