"""Lay out the searches by algebra: from one start where draws are clean, from many where not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from steps.prng.base import Generator
from steps.prng.generators import generator_named
from steps.prng.generators.mersenne import MersenneTwister
from steps.prng.generators.xorshift import Xorshift, Xorshift128
from steps.prng.mappings import mapping_named
from steps.prng.recovery.algebra import method_for
from steps.prng.recovery.looks import tries_wanted
from steps.step1_window.efforts import algebra_s
from steps.step1_window.needs import Need, algebra_need, subsets_need
from steps.step1_window.planned import Part, Planned, Scope, Subject

# Starts of algebra, evenly spread: at least so many, to meet a stretch of a machine seeded anew.
FEWEST_STARTS = 16
MOST_STARTS = 64
# Methods take some more draws where there are more.
_ROOMY = 2
# One gap may take so many times as long as a search should.
_ONE_GAP = 2.0


def algebra_searches(part: Part, subject: Subject, scope: Scope) -> Iterator[Planned]:
    """Clean draws from the first on; then starts all over, so that wrong draws are passed by."""
    rough = 1 - (1 - scope.corruption) * (1 - scope.missing_rate)
    tolerant = []
    for name, mapping in scope.pairs:
        generator = generator_named(name)
        if method_for(generator) is None:
            continue
        need = algebra_need(name, mapping, subject.modulus, 1, 0.0, scope.alpha)
        if need.window is None:
            continue
        yield from _of_algebra(part, subject, scope, generator, mapping, need, 0.0)
        if not isinstance(generator, MersenneTwister):
            tolerant.append((generator, mapping, need))
    for generator, mapping, need in tolerant:
        yield from _of_algebra(part, subject, scope, generator, mapping, need, rough)


@dataclass(frozen=True, slots=True)
class _Way:
    """One way to search, with rates and starts as in Question. cost_s: of one gap."""

    corruption: float
    missing_rate: float
    starts: int
    cost_s: float


def _of_algebra(
    part: Part,
    subject: Subject,
    scope: Scope,
    generator: Generator,
    mapping: str,
    need: Need,
    rough: float,
) -> Iterator[Planned]:
    """rough: share of the draws that are wrong or follow a hole; 0: of a search from one start.

    The first way that can be afforded, if only for one gap; else the cheapest, for the record. Of
    ways that bear wrong draws all: one bears missing draws too, the other tries more gaps.
    """
    allowed = scope.effort.algebra_s * part.share
    ways = [*_ways(part, subject, scope, generator, mapping, need, rough)]
    affordable = [way for way in ways if way.cost_s <= _ONE_GAP * allowed]
    if not affordable:
        ways = [min(ways, key=lambda way: way.cost_s)]
    elif affordable[0].corruption:
        ways = [way for way in affordable if way.corruption]
    else:
        ways = affordable[:1]
    for way in ways:
        yield _by(way, part, scope, generator, mapping)


def _by(way: _Way, part: Part, scope: Scope, generator: Generator, mapping: str) -> Planned:
    """The search, with as many gaps as its time allows."""
    effort = scope.effort
    allowed = effort.algebra_s * part.share
    if isinstance(generator, MersenneTwister):
        most = int(effort.twister_gaps * part.share)
    else:
        most = min(int(allowed / way.cost_s), effort.largest_gap + 1)
        most = max(most, 1) if way.cost_s <= _ONE_GAP * allowed else 0
    left_out = None
    if scope.max_gap is not None:
        most = scope.max_gap + 1
    elif most < 1:
        left_out = f"left to more effort: a gap takes about {way.cost_s:.1f} s"
    return Planned(
        part.stream,
        part.first,
        part.stop,
        generator.name,
        mapping,
        "algebra",
        range(max(most, 1)),
        corruption=way.corruption,
        missing_rate=way.missing_rate,
        starts=way.starts,
        left_out=left_out,
    )


def _ways(
    part: Part,
    subject: Subject,
    scope: Scope,
    generator: Generator,
    mapping: str,
    need: Need,
    rough: float,
) -> Iterator[_Way]:
    """What may be done, the best first."""
    assert need.window is not None  # noqa: S101
    modulus, missing = subject.modulus, scope.missing_rate
    per_draw = mapping_named(mapping).outputs_per_draw(generator, modulus)
    clean_s = algebra_s(generator, modulus, per_draw, tolerant=False, trials=1)
    if not rough:
        yield _Way(0.0, 0.0, 1, clean_s)
        return
    tries = tries_wanted((1 - rough) ** (need.window + _ROOMY))
    starts = min(max(tries, FEWEST_STARTS), MOST_STARTS)
    spread = _Way(0.0, missing, starts, starts * clean_s)
    if tries <= MOST_STARTS and tries * need.window <= part.stop - part.first:
        yield spread
    # Where hardly any start is clean, or there are not so many: methods that bear wrong draws.
    if scope.corruption:
        for rate in sorted({missing, 0.0}, reverse=True):
            work = _tolerant_work(part, subject, scope, generator, mapping, rate)
            if work is None:
                continue
            draws, trials = work
            tries = tries_wanted((1 - rate) ** (draws - 1))
            if tries <= MOST_STARTS:
                cost_s = algebra_s(generator, modulus, per_draw, tolerant=True, trials=trials)
                yield _Way(scope.corruption, rate, tries, tries * cost_s)
    yield spread


def _tolerant_work(
    part: Part,
    subject: Subject,
    scope: Scope,
    generator: Generator,
    mapping: str,
    missing_rate: float,
) -> tuple[int, int] | None:
    """Draws of a start that bears wrong ones, and subsets that are tried; None where none does."""
    need = algebra_need(generator.name, mapping, subject.modulus, 1, scope.corruption, scope.alpha)
    if need.window is None:
        return None
    if not isinstance(generator, Xorshift | Xorshift128):
        return need.window + _ROOMY, 1
    return subsets_need(
        generator.name,
        mapping,
        subject.modulus,
        part.stop - part.first,
        scope.corruption,
        missing_rate,
        scope.alpha,
    )
