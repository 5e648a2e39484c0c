"""Take a draw apart into what can match alone: remainders modulo M's prime powers, and digits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Parts:
    """The parts of a draw of 0..modulus - 1. names, values: of each part, how it is called and how
    many values it has. codes: int32 (modulus, parts).
    """

    modulus: int
    names: tuple[str, ...]
    values: tuple[int, ...]
    codes: NDArray[np.int32]

    @property
    def remainders(self) -> tuple[int, ...]:
        """The divisors of the parts that are remainders."""
        return tuple(
            value
            for name, value in zip(self.names, self.values, strict=True)
            if name.startswith("mod_")
        )


def parts_of(modulus: int) -> Parts:
    """mod 8 and mod 125 and three digits for 1000. The whole draw is no part of itself, and digits
    are parts only where the modulus is a power of ten.
    """
    draws = np.arange(modulus)
    names, values, codes = [], [], []
    for divisor in prime_powers(modulus):
        if divisor < modulus:
            names.append(f"mod_{divisor}")
            values.append(divisor)
            codes.append(draws % divisor)
    digits = len(str(modulus)) - 1
    if digits > 1 and modulus == 10**digits:
        for place in range(digits):
            names.append(f"digit_{place + 1}")
            values.append(10)
            codes.append(draws // 10 ** (digits - 1 - place) % 10)
    stacked = np.stack(codes, axis=1) if codes else np.empty((modulus, 0), np.int64)
    return Parts(modulus, tuple(names), tuple(values), np.ascontiguousarray(stacked, np.int32))


def prime_powers(number: int) -> tuple[int, ...]:
    """The powers of different primes that multiply to it, by prime: 8 and 125 of 1000."""
    found = []
    prime = 2
    while number > 1:
        if prime * prime > number:
            prime = number
        power = 1
        while number % prime == 0:
            number //= prime
            power *= prime
        if power > 1:
            found.append(power)
        prime += 1
    return tuple(found)
