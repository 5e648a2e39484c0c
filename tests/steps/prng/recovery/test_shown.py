from __future__ import annotations

import numpy as np
import pytest

from steps.prng.recovery.shown import show

CASES = [
    ("java", "mod", 1000),
    ("java", "next_int", 1000),
    ("java", "next_int", 512),
    ("java", "digits_next_int", 1000),
    ("java", "multiply", 1000),
    ("minstd_rand", "multiply", 777),
    ("lcg32", "mod", 49),
    ("xorshift64", "mod", 1024),
    ("xorshift64", "multiply", 1000),
    ("xorshift128", "digits_mod", 100),
    ("mt19937", "multiply", 1000),
    ("mt19937_64", "next_int", 1000),
]


def outputs_of(made, shown):
    """The raw outputs that the observations are of, made anew."""
    law = made.law
    state = np.array([made.state], np.uint64)
    outputs, _ = law.generator.run(state, 400)
    return outputs[0, shown.places(made.question(), law.gap)]


@pytest.mark.parametrize(("generator", "mapping", "modulus"), CASES)
def test_true_outputs_are_on_their_progressions(history, generator, mapping, modulus):
    made = history(generator, mapping, modulus, draws=40, gap=1, unread=(3, 9))
    shown = show(made.question())
    values = outputs_of(made, shown) >> np.uint64(shown.shift)
    steps = (values - shown.first) // np.uint64(shown.step)
    assert ((values - shown.first) % np.uint64(shown.step) == 0).all()
    assert (steps < shown.count).all()
    assert 3 not in shown.draw


@pytest.mark.parametrize(("generator", "mapping", "modulus"), CASES)
def test_the_test_by_multiplication_tells_true_from_wrong(history, generator, mapping, modulus):
    made = history(generator, mapping, modulus, draws=40, gap=1)
    shown = show(made.question())
    bits = 32 if shown.bits < 32 else 64
    less, inverse, right, ceiling = (int(word) for word in shown.tests(bits)[0])

    def passes(value):
        rest = (value - less) * inverse % 2**bits
        return (rest >> right | rest << (bits - right)) % 2**bits <= ceiling

    first, step, count = int(shown.first[0]), shown.step, int(shown.count[0])
    assert passes(first)
    assert passes(first + (count - 1) * step)
    assert passes(first + count // 2 * step)
    # Beyond the last value of a whole word there is none.
    assert first + count * step >= 2**bits or not passes(first + count * step)
    assert not passes(first - 1)
    assert step == 1 or not passes(first + 1)


@pytest.mark.parametrize(("generator", "mapping", "modulus"), CASES)
def test_known_bits_are_those_of_the_true_outputs(history, generator, mapping, modulus):
    made = history(generator, mapping, modulus, draws=40)
    shown = show(made.question())
    mask, value = shown.known_bits()
    assert (outputs_of(made, shown) & mask == value).all()
    if mapping == "multiply":
        assert 7 < np.bitwise_count(mask).mean() < 10
