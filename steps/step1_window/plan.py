"""Lay out all searches before the first one is made: what, over which draws, in which order.

Pure: the same history, settings and effort give the same plan. Algebra comes before seeds, the
whole history before parts of it, clean draws before wrong and missing ones. Where no dates say
which draws are the earlier ones, algebra reads them backward too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from steps.forensics.history import ALL
from steps.prng.generators import generator_named
from steps.prng.generators.mersenne import MersenneTwister
from steps.prng.mappings import MappingError, mapping_named
from steps.prng.recovery.seed_behind import seen_bits
from steps.step1_window.plan_algebra import algebra_searches
from steps.step1_window.plan_seeds import seed_searches
from steps.step1_window.planned import BACKWARD, Part, Planned, Scope, Subject

# A session's or a segment's share of the CPU seconds of a search.
_PART_SHARE = 0.5
_FEWEST_BITS = 16


def pairs_of(
    generators: tuple[str, ...], mappings: tuple[str, ...], modulus: int
) -> tuple[tuple[str, str], ...]:
    """Generators with the mappings by which they can make draws of 0..modulus - 1.

    Of one digit there is no other mapping than the digit's own.
    """
    pairs = []
    for generator in generators:
        for mapping in mappings:
            if mapping.startswith("digits_") and modulus == 10:
                continue
            try:
                mapping_named(mapping).outputs_per_draw(generator_named(generator), modulus)
            except MappingError:
                continue
            pairs.append((generator, mapping))
    return tuple(pairs)


def plan_searches(subject: Subject, scope: Scope) -> tuple[Planned, ...]:
    """All searches in the order in which they are made."""
    wholes = [
        Part(stream, 0, draws, 1.0 if stream == ALL else _PART_SHARE)
        for stream, draws in subject.streams
        if draws
    ]
    segments = [
        Part(ALL, segment.first, segment.stop, _PART_SHARE)
        for segment in subject.segments
        if len(subject.segments) > 1
    ]
    parts = [*wholes, *segments]
    algebra = [search for part in parts for search in algebra_searches(part, subject, scope)]
    seeds = [search for part in parts for search in seed_searches(part, subject, scope)]
    twisters: list[Planned] = []
    others: list[Planned] = []
    for search in algebra:
        slow = isinstance(generator_named(search.generator), MersenneTwister)
        (twisters if slow else others).append(search)
    back = [] if subject.in_order else [*_backward(others, wholes, subject.modulus)]
    return (*others, *twisters, *back, *seeds)


def _backward(
    algebra: Sequence[Planned], wholes: Sequence[Part], modulus: int
) -> Iterator[Planned]:
    """The same searches of whole streams, read from the last draw to the first.

    Not those of a machine whose states that can be told apart are so few that it comes round: read
    backward it is itself with another gap.
    """
    whole = {(part.stream, part.first, part.stop) for part in wholes}
    for search in algebra:
        seen = seen_bits(generator_named(search.generator), mapping_named(search.mapping), modulus)
        if seen is not None and seen < _FEWEST_BITS:
            continue
        if (search.stream, search.first, search.stop) in whole:
            yield replace(search, stream=f"{BACKWARD}{search.stream}")
