"""Lay out the searches by algebra: from one start where draws are clean, from many where not."""

from __future__ import annotations

from collections.abc import Iterator

from steps.prng.base import Generator
from steps.prng.generators import generator_named
from steps.prng.generators.mersenne import MersenneTwister
from steps.prng.mappings import mapping_named
from steps.prng.recovery.algebra import method_for
from steps.prng.recovery.looks import tries_wanted
from steps.step1_window.efforts import algebra_s
from steps.step1_window.needs import Need, algebra_need
from steps.step1_window.planned import Part, Planned, Scope, Subject

# Starts of algebra, evenly spread: at least so many, to meet a stretch of a machine seeded anew.
FEWEST_STARTS = 16
_MOST_STARTS = 64
# Methods take some more draws where there are more.
_ROOMY = 2


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
        yield _of_algebra(part, subject, scope, generator, mapping, need, 0.0)
        if not isinstance(generator, MersenneTwister):
            tolerant.append((generator, mapping, need))
    for generator, mapping, need in tolerant:
        yield _of_algebra(part, subject, scope, generator, mapping, need, rough)


def _of_algebra(
    part: Part,
    subject: Subject,
    scope: Scope,
    generator: Generator,
    mapping: str,
    need: Need,
    rough: float,
) -> Planned:
    """rough: share of the draws that are wrong or follow a hole; 0: of a search from one start."""
    assert need.window is not None  # noqa: S101
    effort = scope.effort
    per_draw = mapping_named(mapping).outputs_per_draw(generator, subject.modulus)
    length = need.window + _ROOMY
    tries = tries_wanted((1 - rough) ** length)
    # Where hardly any window is clean, or there are not so many, methods that bear wrong draws do.
    room = part.stop - part.first
    tolerant = False
    if rough and scope.corruption and (tries > _MOST_STARTS or tries * need.window > room):
        may = algebra_need(
            generator.name, mapping, subject.modulus, 1, scope.corruption, scope.alpha
        )
        tolerant = may.window is not None
    clean = (1 - scope.corruption) ** length
    cost = algebra_s(generator, subject.modulus, per_draw, clean, tolerant)
    allowed = effort.algebra_s * part.share
    starts = 1
    if tolerant:
        # From one start only where missing draws would make it too many.
        tries = tries_wanted((1 - scope.missing_rate) ** (2 * length))
        starts = tries if tries <= _MOST_STARTS and cost * tries <= 2 * allowed else 1
    elif rough:
        starts = min(max(tries, FEWEST_STARTS), _MOST_STARTS)
    cost *= starts
    if isinstance(generator, MersenneTwister):
        most = int(effort.twister_gaps * part.share)
    else:
        most = min(int(allowed / cost), effort.largest_gap + 1)
        most = max(most, 1) if cost <= 2 * allowed else most
    left_out = None
    if scope.max_gap is not None:
        most = scope.max_gap + 1
    elif most < 1:
        left_out = f"left to more effort: a gap takes about {cost:.1f} s"
    return Planned(
        part.stream,
        part.first,
        part.stop,
        generator.name,
        mapping,
        "algebra",
        range(max(most, 1)),
        corruption=scope.corruption if tolerant else 0.0,
        missing_rate=scope.missing_rate if starts > 1 else 0.0,
        starts=starts,
        left_out=left_out,
    )
