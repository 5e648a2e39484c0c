"""Recover a state by the method that fits the generator, where there is one."""

from __future__ import annotations

from collections.abc import Callable

from steps.prng.base import Generator
from steps.prng.generators.java import JavaRandom
from steps.prng.generators.lcg import Lcg32, Minstd
from steps.prng.generators.mersenne import MersenneTwister
from steps.prng.generators.xorshift import Xorshift, Xorshift128
from steps.prng.recovery.found import CannotRecover, Search
from steps.prng.recovery.linear import recover_linear
from steps.prng.recovery.mersenne_twister import recover_mersenne_twister
from steps.prng.recovery.question import Question
from steps.prng.recovery.truncated_lcg import recover_truncated_lcg
from steps.prng.recovery.whole_output import recover_whole_output

Method = Callable[[Question], Search]


def method_for(generator: Generator) -> Method | None:
    """The method that finds this generator's state whatever seeded it; None where seeds must be
    tried: pcg32, splitmix64, xoshiro256++, philox4x32, sfc64.
    """
    match generator:
        case JavaRandom():
            return recover_truncated_lcg
        case Lcg32() | Minstd():
            return recover_whole_output
        case Xorshift() | Xorshift128():
            return recover_linear
        case MersenneTwister():
            return recover_mersenne_twister
        case _:
            return None


def recover_state(question: Question) -> Search:
    """Find state and gap, wherever in the generator's stream the draws begin.

    Raises CannotRecover where no method fits generator, mapping and M, and TooFewDraws.
    """
    method = method_for(question.generator)
    if method is None:
        raise CannotRecover(f"{question.generator.name}: no method but to try its seeds")
    return method(question)
