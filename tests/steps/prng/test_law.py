from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steps.prng import (
    GENERATORS,
    MAPPINGS,
    GeneratorError,
    Law,
    MappingError,
    Unrejected,
    draws,
    law,
)

SEEDS = np.array([3, 42, 2**31 + 7], np.uint64)
# next_int then throws a quarter of all outputs away.
WASTEFUL = 3 << 29
CASES = [
    *((name, "mod", 1000) for name in sorted(GENERATORS)),
    ("java", "next_int", 1000),
    ("java", "next_int", WASTEFUL),
    ("java", "multiply", 1000),
    ("mt19937", "next_int", WASTEFUL),
    ("mt19937", "multiply", 50),
    ("philox4x32", "next_int", WASTEFUL),
    ("sfc64", "next_int", WASTEFUL),
    ("java", "digits_next_int", 1000),
    ("xorshift128", "digits_mod", 100),
]


def seeded(name):
    return GENERATORS[name].seed(SEEDS, GENERATORS[name].seedings[0])


def by_hand(name, mapping, modulus, count, gap, offset):
    """The law in plain integers: one output at a time, one call at a time."""
    generator = GENERATORS[name]
    outputs = generator.run(seeded(name), 3 * (offset + count * (gap + 1)) * 4 + 50)[0]
    bits = generator.word_bits
    rows = []
    for raw in outputs.tolist():
        numbers = iter(raw)

        def next_int(bound, numbers=numbers):
            while True:
                top = next(numbers) >> (bits - 31)
                if not bound & (bound - 1):
                    return bound * top >> 31
                if top - top % bound + bound - 1 < 2**31:
                    return top % bound

        def call(numbers=numbers, next_int=next_int):
            digits = range(len(str(modulus)) - 1)
            match mapping:
                case "mod":
                    return next(numbers) % modulus
                case "next_int":
                    return next_int(modulus)
                case "digits_next_int":
                    return int("".join(str(next_int(10)) for _ in digits))
                case "digits_mod":
                    return int("".join(str(next(numbers) % 10) for _ in digits))
                case "multiply":
                    eaten = [next(numbers) for _ in range(generator.unit_outputs)]
                    return int(float(generator.unit(np.array(eaten, np.uint64))) * modulus)

        calls = [call() for _ in range(offset + count * (gap + 1))]
        rows.append(calls[offset :: gap + 1][:count])
    return rows


@pytest.mark.parametrize(("name", "mapping", "modulus"), CASES)
@pytest.mark.parametrize(("gap", "offset"), [(0, 0), (0, 5), (2, 0), (7, 3)])
def test_draws_are_the_calls_that_the_law_names(name, mapping, modulus, gap, offset):
    drawn = draws(GENERATORS[name], seeded(name), MAPPINGS[mapping], modulus, 40, gap, offset)
    assert drawn.dtype == np.int64
    assert drawn.tolist() == by_hand(name, mapping, modulus, 40, gap, offset)


@pytest.mark.parametrize("name", ["java", "splitmix64", "xorshift32", "philox4x32", "pcg32"])
@pytest.mark.parametrize("mapping", ["mod", "digits_mod"])
def test_jumping_over_a_gap_reads_the_same_draws(name, mapping):
    drawn = draws(GENERATORS[name], seeded(name), MAPPINGS[mapping], 100, 30, gap=150, offset=9)
    assert drawn.tolist() == by_hand(name, mapping, 100, 30, 150, 9)


@pytest.mark.parametrize(("name", "mapping", "modulus"), CASES)
def test_reverse_draws_are_forward_draws_reversed(name, mapping, modulus):
    long = 3 if GENERATORS[name].jump_cost is None else 150
    for gap, offset in [(0, 0), (long, 2)]:
        of = Law(GENERATORS[name], MAPPINGS[mapping], modulus, gap, offset)
        forward = of.draws(seeded(name), 25)
        end = of.states_before(seeded(name), 25)
        np.testing.assert_array_equal(of.draws_before(end, 25), forward[:, ::-1])


@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    case=st.sampled_from(CASES),
    gap=st.integers(0, 20),
    offset=st.integers(0, 20),
    first=st.integers(-30, 30),
    count=st.integers(0, 30),
)
def test_a_law_read_from_the_middle_is_the_same_law(case, gap, offset, first, count):
    name, mapping, modulus = case
    of = Law(GENERATORS[name], MAPPINGS[mapping], modulus, gap, offset)
    start = of.states_before(seeded(name), -30)
    without_offset = Law(of.generator, of.mapping, modulus, gap)
    whole = without_offset.draws(start, 90)
    part = of.draws(seeded(name), count, first=first)
    np.testing.assert_array_equal(part, whole[:, 30 + first : 30 + first + count])


@pytest.mark.parametrize(("name", "mapping", "modulus"), CASES)
@pytest.mark.parametrize("gap", [1, 15])
def test_small_blocks_draw_what_one_block_draws(monkeypatch, name, mapping, modulus, gap):
    of = Law(GENERATORS[name], MAPPINGS[mapping], modulus, gap, 11)
    whole = of.draws(seeded(name), 25, first=2)
    monkeypatch.setattr(law, "_WORDS_AT_ONCE", 97)
    monkeypatch.setattr(law, "_ROWS_AT_ONCE", 2)
    np.testing.assert_array_equal(of.draws(seeded(name), 25, first=2), whole)


def test_unrejected_draws_are_javas_until_the_first_output_thrown_away():
    java = GENERATORS["java"]
    exact = draws(java, seeded("java"), MAPPINGS["next_int"], WASTEFUL, 50)
    free = draws(java, seeded("java"), Unrejected(MAPPINGS["next_int"]), WASTEFUL, 50)
    assert not np.array_equal(exact, free)
    exact = draws(java, seeded("java"), MAPPINGS["next_int"], 1000, 50, gap=400, offset=1)
    free = draws(java, seeded("java"), Unrejected(MAPPINGS["next_int"]), 1000, 50, 400, 1)
    np.testing.assert_array_equal(exact, free)


def test_memory_stays_bounded_however_many_outputs_lie_in_the_gaps():
    java = GENERATORS["java"]
    states = java.seed(np.arange(10_000, dtype=np.uint64), "scramble")
    tracemalloc.start()
    drawn = draws(java, states, MAPPINGS["next_int"], 1000, 10, gap=300)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert drawn.shape == (10_000, 10)
    # All outputs at once would take 240 MB, and as much again for the draws.
    assert peak < 150e6


def test_draws_of_many_seeds_are_spread_evenly_over_m():
    # 32-bit arithmetic that overflowed into 64 bits would show here as a lopsided count.
    for name, generator in GENERATORS.items():
        seeds = np.random.default_rng(1).integers(1, 2**32, 500, dtype=np.uint64)
        states = generator.seed(seeds, generator.seedings[0])
        drawn = draws(generator, states, MAPPINGS["mod"], 100, 100, offset=20)
        counts = np.bincount(drawn.reshape(-1), minlength=100)
        # 50,000 draws in 100 bins: 500 each, six standard deviations are 134.
        assert counts.size == 100, name
        assert np.abs(counts - 500).max() < 134, name


def test_a_law_that_cannot_be_is_refused():
    java = GENERATORS["java"]
    with pytest.raises(ValueError, match="got gap -1 and offset 0"):
        Law(java, MAPPINGS["mod"], 1000, gap=-1)
    with pytest.raises(MappingError, match="power of ten"):
        Law(java, MAPPINGS["digits_mod"], 1001)


def test_a_generator_that_cannot_step_back_is_not_asked_to():
    class OneWay(type(GENERATORS["java"])):
        reversible = False

    of = Law(OneWay(), MAPPINGS["mod"], 1000)
    assert of.draws(seeded("java"), 3).shape == (3, 3)
    with pytest.raises(GeneratorError, match="cannot be stepped back"):
        of.draws_before(seeded("java"), 3)
