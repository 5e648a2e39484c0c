"""Long jumps of generators that are linear over GF(2), by the polynomial that their states obey.

If p is the minimal polynomial of the one-step map T, then T^k = (x^k mod p)(T): a few steps and
exclusive-ors instead of k steps (Haramoto, Matsumoto, Nishimura, Panneton, L'Ecuyer, "Efficient
Jump Ahead for F2-Linear Random Number Generators", 2008). A polynomial over GF(2) is a Python int,
bit i the coefficient of x^i.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache


def minimal_polynomial(bits: Iterable[int]) -> int:
    """The characteristic polynomial of the shortest linear recurrence that makes the bits.

    Massey 1969; exact when the bits number at least twice the polynomial's degree.
    """
    connection, former, window = 1, 1, 0
    degree, gap = 0, 1
    for seen, bit in enumerate(bits):
        window = (window << 1) | bit
        if (connection & window).bit_count() & 1:
            longer = connection ^ (former << gap)
            if 2 * degree <= seen:
                former, degree, gap = connection, seen + 1 - degree, 1
            else:
                gap += 1
            connection = longer
        else:
            gap += 1
    # The connection polynomial counts backward from the newest bit.
    return int(format(connection, f"0{degree + 1}b")[::-1], 2)


@lru_cache(maxsize=256)
def power_of_x(exponent: int, modulus: int) -> int:
    """x^exponent modulo a polynomial with a constant term; the exponent may be negative."""
    top = 1 << (modulus.bit_length() - 1)
    power = 1
    for digit in format(abs(exponent), "b"):
        power = _reduce(_square(power), modulus)
        if digit == "1" and exponent > 0:
            power <<= 1
            power = power ^ modulus if power & top else power
        elif digit == "1":
            power = (power ^ modulus if power & 1 else power) >> 1
    return power


def _square(polynomial: int) -> int:
    """Squaring puts a zero between every two coefficients, as reading base 2 in base 4 does."""
    return int(format(polynomial, "b"), 4)


def _reduce(polynomial: int, modulus: int) -> int:
    width = modulus.bit_length()
    while (shift := polynomial.bit_length() - width) >= 0:
        polynomial ^= modulus << shift
    return polynomial
