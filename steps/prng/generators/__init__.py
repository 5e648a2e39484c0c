"""Every generator by name: a new one is one file here and one line below."""

from __future__ import annotations

import difflib

from steps.prng.base import Generator, GeneratorError
from steps.prng.generators import (
    java,
    lcg,
    mersenne,
    pcg,
    philox,
    sfc,
    splitmix,
    xorshift,
    xoshiro,
)

_FAMILIES: tuple[tuple[Generator, ...], ...] = (
    java.GENERATORS,
    mersenne.GENERATORS,
    lcg.GENERATORS,
    xorshift.GENERATORS,
    pcg.GENERATORS,
    splitmix.GENERATORS,
    xoshiro.GENERATORS,
    philox.GENERATORS,
    sfc.GENERATORS,
)

GENERATORS: dict[str, Generator] = {
    generator.name: generator for family in _FAMILIES for generator in family
}


def generator_named(name: str) -> Generator:
    """The generator of that name; GeneratorError names the nearest one that there is."""
    if name in GENERATORS:
        return GENERATORS[name]
    near = difflib.get_close_matches(name, GENERATORS, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise GeneratorError(f"no generator {name!r}{hint} There are: {', '.join(GENERATORS)}")
