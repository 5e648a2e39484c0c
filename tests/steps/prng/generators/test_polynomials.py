from __future__ import annotations

import pytest

from steps.prng import GENERATORS
from steps.prng.generators.lcg import affine_power
from steps.prng.generators.polynomials import minimal_polynomial, power_of_x


def test_the_shortest_recurrence_of_a_register_is_found():
    # x^4 + x + 1: s[n + 4] = s[n + 1] + s[n]
    bits = [0, 0, 0, 1]
    while len(bits) < 30:
        bits.append(bits[-3] ^ bits[-4])
    assert minimal_polynomial(bits) == 0b10011


def test_powers_repeat_with_the_period_of_a_primitive_polynomial():
    powers = [power_of_x(exponent, 0b10011) for exponent in range(15)]
    assert len(set(powers)) == 15
    assert power_of_x(15, 0b10011) == power_of_x(0, 0b10011) == 1
    for exponent in range(-40, 40):
        assert power_of_x(exponent, 0b10011) == powers[exponent % 15]


@pytest.mark.parametrize(
    ("name", "degree"),
    [
        ("xorshift32", 32),
        ("xorshift64", 64),
        ("xorshift64star", 64),
        ("xorshift128", 128),
        ("xoshiro256plusplus", 256),
        ("mt19937", 19937),
        ("mt19937_64", 19937),
    ],
)
def test_a_generators_polynomial_has_the_degree_of_its_state(name, degree):
    polynomial = GENERATORS[name].polynomial
    assert polynomial.bit_length() - 1 == degree
    assert polynomial & 1


@pytest.mark.parametrize("name", ["xorshift32", "xorshift64", "xorshift128", "xoshiro256plusplus"])
def test_the_period_is_that_of_every_state_but_zero(name):
    generator = GENERATORS[name]
    assert power_of_x(2**generator.state_bits - 1, generator.polynomial) == 1


def test_an_affine_power_is_the_map_applied_so_many_times():
    multiplier, addend, bits = 0x5DEECE66D, 11, 48
    state = expected = 123456789
    for steps in range(1, 50):
        expected = (expected * multiplier + addend) % 2**bits
        power, total = affine_power(multiplier, steps, bits)
        assert (power * state + total * addend) % 2**bits == expected
        back, back_total = affine_power(multiplier, -steps, bits)
        assert (back * expected + back_total * addend) % 2**bits == state
