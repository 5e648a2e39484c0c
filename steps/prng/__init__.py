"""Generators, how their outputs become draws, and where in a stream a history lies."""

from steps.prng.base import Generator, GeneratorError, Words
from steps.prng.generators import GENERATORS, generator_named
from steps.prng.law import Law, draws
from steps.prng.mappings import MAPPINGS, Draws, Mapping, MappingError, Unrejected, mapping_named

__all__ = [
    "GENERATORS",
    "MAPPINGS",
    "Draws",
    "Generator",
    "GeneratorError",
    "Law",
    "Mapping",
    "MappingError",
    "Unrejected",
    "Words",
    "draws",
    "generator_named",
    "mapping_named",
]
