"""How a program turns raw outputs into a draw of 0..M-1: an axis of its own.

Every mapping takes whole arrays. Some throw outputs away that would make small draws likelier; it
says which in accepts(), and the law of position (steps.prng.law) passes over them.
"""

from __future__ import annotations

import difflib
from typing import Protocol

import numpy as np
import numpy.typing as npt

from steps.prng.base import Generator, Words

Draws = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

_INT_BITS = 31
_MOST_DIGITS = 9


class MappingError(ValueError):
    """A mapping that does not exist or cannot make draws of 0..M-1; says what was wanted."""


class Mapping(Protocol):
    """From raw outputs to draws. M, the number of different draws, is called modulus throughout."""

    @property
    def name(self) -> str:
        """As the registry has it."""
        ...

    def outputs_per_draw(self, generator: Generator, modulus: int) -> int:
        """Accepted raw outputs that one draw eats. Raises MappingError for an impossible M."""
        ...

    def accepts(self, generator: Generator, outputs: Words, modulus: int) -> Flags | None:
        """Which raw outputs (...) are not thrown away; None where none ever is."""
        ...

    def draw(self, generator: Generator, outputs: Words, modulus: int) -> Draws:
        """Draws (...) from accepted raw outputs (..., outputs_per_draw)."""
        ...


class Mod:
    """u % M of the whole raw output, read without sign."""

    name = "mod"

    def outputs_per_draw(self, generator: Generator, modulus: int) -> int:
        """One. Raises MappingError unless M is 2..2^word_bits."""
        _check(self.name, modulus, 1 << min(generator.word_bits, 63))
        return 1

    def accepts(self, generator: Generator, outputs: Words, modulus: int) -> Flags | None:  # noqa: ARG002
        """None: every output is taken."""
        return None

    def draw(self, generator: Generator, outputs: Words, modulus: int) -> Draws:  # noqa: ARG002
        """Draws (...) from raw outputs (..., 1)."""
        return (outputs[..., 0] % modulus).astype(np.int64)


class NextInt:
    """Java's nextInt(bound) on the upper 31 bits of an output: % M, and a power of two by its top.

    Of the 2^31 values the last (2^31 mod M) are thrown away.
    """

    name = "next_int"

    def outputs_per_draw(self, generator: Generator, modulus: int) -> int:  # noqa: ARG002
        """One. Raises MappingError unless M is 2..2^31 - 1."""
        _check(self.name, modulus, (1 << _INT_BITS) - 1)
        return 1

    def accepts(self, generator: Generator, outputs: Words, modulus: int) -> Flags | None:
        """Which raw outputs (...) lie below the last whole multiple of M; None for 2^k."""
        surplus = (1 << _INT_BITS) % modulus
        if not surplus:
            return None
        return _int_bits(generator, outputs) < (1 << _INT_BITS) - surplus

    def draw(self, generator: Generator, outputs: Words, modulus: int) -> Draws:
        """Draws (...) from accepted raw outputs (..., 1)."""
        bits = _int_bits(generator, outputs[..., 0])
        if modulus & (modulus - 1):
            return (bits % modulus).astype(np.int64)
        return (bits * modulus >> _INT_BITS).astype(np.int64)


class Multiply:
    """floor(u * M) of the float in [0, 1) that the generator's own library makes."""

    name = "multiply"

    def outputs_per_draw(self, generator: Generator, modulus: int) -> int:
        """As many as a float of the generator eats. Raises MappingError unless M is 2..2^31."""
        _check(self.name, modulus, 1 << _INT_BITS)
        return generator.unit_outputs

    def accepts(self, generator: Generator, outputs: Words, modulus: int) -> Flags | None:  # noqa: ARG002
        """None: every output is taken."""
        return None

    def draw(self, generator: Generator, outputs: Words, modulus: int) -> Draws:
        """Draws (...) from raw outputs (..., unit_outputs)."""
        return np.floor(generator.unit(outputs) * float(modulus)).astype(np.int64)


class Digits:
    """The decimal digits of a draw, most significant first, each a draw of 0..9 of its own."""

    def __init__(self, name: str, of_ten: Mapping) -> None:
        self.name = name
        self._of_ten = of_ten

    def outputs_per_draw(self, generator: Generator, modulus: int) -> int:  # noqa: ARG002
        """One a digit. Raises MappingError unless M is 10, 100, ... 10^9."""
        digits = len(str(modulus)) - 1
        if not 1 <= digits <= _MOST_DIGITS or modulus != 10**digits:
            raise MappingError(
                f"{self.name}: M must be a power of ten, 10 to 10^{_MOST_DIGITS}, got {modulus}"
            )
        return digits

    def accepts(self, generator: Generator, outputs: Words, modulus: int) -> Flags | None:  # noqa: ARG002
        """Which raw outputs (...) make a digit."""
        return self._of_ten.accepts(generator, outputs, 10)

    def draw(self, generator: Generator, outputs: Words, modulus: int) -> Draws:
        """Draws (...) from accepted raw outputs (..., digits)."""
        digits = self.outputs_per_draw(generator, modulus)
        draws = np.zeros(outputs.shape[:-1], np.int64)
        for place in range(digits):
            draws *= 10
            draws += self._of_ten.draw(generator, outputs[..., place : place + 1], 10)
        return draws


class Unrejected:
    """A mapping that takes every output: what it throws away is let through instead.

    With it the law of position can jump over gaps without looking at what lies in them. It differs
    from the mapping from the first rejected output on: for nextInt(1000) one in 3.3 million.
    """

    def __init__(self, mapping: Mapping) -> None:
        self.name = f"{mapping.name}_unrejected"
        self._mapping = mapping

    def outputs_per_draw(self, generator: Generator, modulus: int) -> int:
        """As the mapping itself."""
        return self._mapping.outputs_per_draw(generator, modulus)

    def accepts(self, generator: Generator, outputs: Words, modulus: int) -> Flags | None:  # noqa: ARG002
        """None: every output is taken."""
        return None

    def draw(self, generator: Generator, outputs: Words, modulus: int) -> Draws:
        """As the mapping itself."""
        return self._mapping.draw(generator, outputs, modulus)


MAPPINGS: dict[str, Mapping] = {
    mapping.name: mapping
    for mapping in (
        Mod(),
        NextInt(),
        Digits("digits_next_int", NextInt()),
        Digits("digits_mod", Mod()),
        Multiply(),
    )
}


def mapping_named(name: str) -> Mapping:
    """The mapping of that name; MappingError names the nearest one that there is."""
    if name in MAPPINGS:
        return MAPPINGS[name]
    near = difflib.get_close_matches(name, MAPPINGS, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise MappingError(f"no mapping {name!r}{hint} There are: {', '.join(MAPPINGS)}")


def _int_bits(generator: Generator, outputs: Words) -> Words:
    return outputs >> (generator.word_bits - _INT_BITS)


def _check(name: str, modulus: int, most: int) -> None:
    if not 2 <= modulus <= most:
        raise MappingError(f"{name}: M must be 2..{most}, got {modulus}")
