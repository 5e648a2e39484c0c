"""Lay out the searches of seeds: small ones, times before the first draw, and all of 32 bits."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from steps.forensics.history import ALL
from steps.prng.base import Generator
from steps.prng.generators import generator_named
from steps.prng.mappings import mapping_named
from steps.prng.recovery.algebra import method_for
from steps.prng.recovery.seed_lanes import lanes_of
from steps.step1_window.efforts import Effort, power_of_two_below, seeds_per_s
from steps.step1_window.needs import algebra_need
from steps.step1_window.planned import Part, Planned, Scope, Subject

_DAY_S = 86_400
# A search of seeds may begin so many draws late, with draws missing before; offsets it then tries.
_LATE_DRAWS = 20
_LATE_OFFSETS = 4
# Fewer seeds than that are left to the sieve.
_FEWEST_SEEDS = 256


def seed_searches(part: Part, subject: Subject, scope: Scope) -> Iterator[Planned]:
    """Seeds of the generators that algebra cannot find in so many draws."""
    draws = part.stop - part.first
    for name, mapping in scope.pairs:
        generator = generator_named(name)
        if method_for(generator) is not None:
            need = algebra_need(name, mapping, subject.modulus, 1, 0.0, scope.alpha)
            if need.draws is not None and need.draws <= draws:
                continue
        for seeding in generator.seedings:
            yield from _of_seeds(part, subject, scope, generator, mapping, seeding)


def _of_seeds(
    part: Part, subject: Subject, scope: Scope, generator: Generator, mapping: str, seeding: str
) -> Iterator[Planned]:
    """Small seeds with gaps; the same later in the history; times; and all of them."""
    effort = scope.effort
    per_draw = mapping_named(mapping).outputs_per_draw(generator, subject.modulus)
    lanes = lanes_of(generator.name, seeding)

    def affordable(seconds: float, corruption: float, most: int) -> int:
        rate = seeds_per_s(generator.name, seeding, per_draw, corruption)
        return min(power_of_two_below(rate * seconds * part.share), most)

    def search(seeds: range, gaps: range, corruption: float, late: int = 0) -> Planned:
        return Planned(
            part.stream,
            part.first + late,
            part.stop,
            generator.name,
            mapping,
            "seeds",
            gaps,
            corruption=corruption,
            missing_rate=scope.missing_rate,
            seeding=seeding,
            seeds=seeds,
            offsets=tuple(range(late, late + _LATE_OFFSETS)) if late else (0,),
        )

    variants = sorted({0.0, scope.corruption}) if lanes is not None else [scope.corruption]
    for corruption in variants:
        small = affordable(effort.seeds_s, corruption, effort.seeds)
        if small < _FEWEST_SEEDS:
            continue
        passes = affordable(effort.seeds_s, corruption, 1 << 62) // small
        gaps = range(min(passes, effort.seeds_largest_gap + 1))
        if scope.max_gap is not None:
            gaps = range(scope.max_gap + 1)
        yield search(range(small), gaps, corruption)
    if lanes is None:
        return
    small = affordable(effort.seeds_s, scope.corruption, effort.seeds) // _LATE_OFFSETS
    if scope.missing_rate and part.stop - part.first > 2 * _LATE_DRAWS and small >= _FEWEST_SEEDS:
        yield search(range(small), range(1), scope.corruption, _LATE_DRAWS)
    whole = part.first == 0
    if effort.all_seeds_s and part.stream == ALL and whole:
        for corruption in variants if effort.all_tolerant else variants[:1]:
            every = affordable(effort.all_seeds_s, corruption, 1 << 32)
            if every > small:
                yield search(range(every), range(1), corruption)
    if whole:
        for times in _times(subject, effort):
            # A time of today is a seed of 31 bits, which a search of all may have had.
            had = times.stop <= affordable(effort.all_seeds_s, 0.0, 1 << 32)
            if not had and times.stop <= 1 << lanes.seed_bits:
                for corruption in variants:
                    yield search(times, range(1), corruption)


def _times(subject: Subject, effort: Effort) -> Iterator[range]:
    """Seeds that are a time before the first draw, in seconds and in milliseconds since 1970."""
    if subject.first_date is None:
        return
    try:
        moment = datetime.fromisoformat(subject.first_date)
    except ValueError:
        return
    begun = int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp())
    # Two days more: dates have time zones.
    first, stop = begun - effort.days_before * _DAY_S, begun + 2 * _DAY_S
    if first < 0:
        return
    yield range(first, stop)
    if effort.milliseconds:
        yield range((begun - 7 * _DAY_S) * 1000, stop * 1000)
