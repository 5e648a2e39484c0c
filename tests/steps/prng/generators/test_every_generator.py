"""What holds for every generator that there is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steps.prng import GENERATORS, GeneratorError, generator_named
from steps.prng.base import spread

SEEDS = np.array([1, 42, 5489, 2**31 + 12345, 2**64 - 1], np.uint64)
EVERY = sorted(GENERATORS)
FAR = sorted(name for name, generator in GENERATORS.items() if generator.jump_cost is not None)
STEPS = st.integers(-700, 700)
FAR_STEPS = st.integers(-(2**70), 2**70)


def seeded(generator, seeds=SEEDS):
    """States away from the very start, where a seeding may have left its marks."""
    return generator.step(generator.seed(seeds, generator.seedings[0]))[1]


def stepped(generator, states, count):
    made = []
    for _ in range(count):
        output, states = generator.step(states)
        made.append(output)
    return np.stack(made, axis=1), states


@pytest.fixture(params=EVERY)
def generator(request):
    return GENERATORS[request.param]


def test_a_step_back_undoes_a_step(generator):
    states = generator.seed(SEEDS, generator.seedings[0])
    for _ in range(30):
        _, after = generator.step(states)
        np.testing.assert_array_equal(generator.step_back(after), states)
        states = after


def test_a_step_undoes_a_step_back_even_before_the_seed(generator):
    states = generator.seed(SEEDS, generator.seedings[0])
    for _ in range(30):
        before = generator.step_back(states)
        np.testing.assert_array_equal(generator.step(before)[1], states)
        states = before


def test_a_run_gives_the_outputs_of_single_steps(generator):
    states = seeded(generator)
    expected, after = stepped(generator, states, 650)
    made, reached = generator.run(states, 650)
    np.testing.assert_array_equal(made, expected)
    np.testing.assert_array_equal(reached, after)


def test_a_long_run_of_one_stream_is_the_same_in_lanes(generator):
    states = seeded(generator, SEEDS[:2])
    count = 5 * (generator.jump_cost or 0) + 7
    expected, after = stepped(generator, states, count)
    made, reached = generator.run(states, count)
    np.testing.assert_array_equal(made, expected)
    np.testing.assert_array_equal(reached, after)


@pytest.mark.parametrize("steps", [1, 3, 5, 100, 623, 1100])
def test_a_jump_gives_the_state_of_single_steps_both_ways(generator, steps):
    states = seeded(generator)
    _, after = generator.run(states, steps)
    np.testing.assert_array_equal(generator.jump(states, steps), after)
    np.testing.assert_array_equal(generator.jump(after, -steps), states)


@pytest.mark.parametrize("name", EVERY)
@settings(max_examples=5, deadline=None, derandomize=True)
@given(first=STEPS, second=STEPS)
def test_two_jumps_are_one(name, first, second):
    generator = GENERATORS[name]
    states = seeded(generator)
    twice = generator.jump(generator.jump(states, first), second)
    np.testing.assert_array_equal(twice, generator.jump(states, first + second))


@pytest.mark.parametrize("name", FAR)
@settings(max_examples=6, deadline=None, derandomize=True)
@given(first=FAR_STEPS, second=FAR_STEPS)
def test_two_far_jumps_are_one(name, first, second):
    generator = GENERATORS[name]
    states = seeded(generator)
    twice = generator.jump(generator.jump(states, first), second)
    np.testing.assert_array_equal(twice, generator.jump(states, first + second))


@pytest.mark.parametrize("name", ["mt19937", "mt19937_64"])
def test_a_mersenne_twister_leaps_where_it_would_have_walked(name):
    generator = GENERATORS[name]
    states = seeded(generator, SEEDS[:1])
    walked = generator.jump(states, 1 << 22)
    leapt = generator.jump(states, (1 << 22) + 1)
    np.testing.assert_array_equal(generator.step(walked)[1], leapt)
    np.testing.assert_array_equal(generator.jump(leapt, -(1 << 22) - 1), states)


@pytest.mark.parametrize("name", ["mt19937", "mt19937_64"])
def test_streams_of_a_mersenne_twister_may_stand_at_different_places(name):
    generator = GENERATORS[name]
    states = seeded(generator)
    apart = np.concatenate([generator.jump(states[i : i + 1], 100 * i) for i in range(5)])
    made, after = generator.run(apart, 700)
    for i in range(5):
        alone, reached = generator.run(apart[i : i + 1], 700)
        np.testing.assert_array_equal(made[i], alone[0])
        np.testing.assert_array_equal(after[i], reached[0])


def test_philox_carries_into_the_upper_half_of_its_counter():
    generator = GENERATORS["philox4x32"]
    full = 2**64 - 1
    states = np.array([[full, 5, 7, 2], [full - 1, full, 7, 3]], np.uint64)
    expected, after = stepped(generator, states, 12)
    made, reached = generator.run(states, 12)
    np.testing.assert_array_equal(made, expected)
    np.testing.assert_array_equal(reached, after)
    assert after[:, :2].tolist() == [[2, 6], [1, 0]]


def test_places_are_spread_at_even_strides(generator):
    states = seeded(generator, SEEDS[:2])
    places = spread(generator, states, 5, 37)
    for stream in range(2):
        for lane in range(5):
            expected = generator.jump(states[stream : stream + 1], 37 * lane)
            np.testing.assert_array_equal(places[5 * stream + lane], expected[0])


def test_every_seeding_starts_streams_of_their_own_inside_the_word(generator):
    for seeding in generator.seedings:
        states = generator.seed(SEEDS, seeding)
        assert states.shape == (SEEDS.size, generator.state_words)
        made, after = generator.run(states, 20)
        assert made.dtype == after.dtype == states.dtype == np.uint64
        assert int(made.max()) < 1 << generator.word_bits
        assert int(made.max()) >> (generator.word_bits - 2) > 0
        assert len({tuple(row) for row in made.tolist()}) == SEEDS.size


def test_seeding_and_stepping_leave_what_they_were_given_alone(generator):
    seeds = SEEDS.copy()
    states = generator.seed(seeds, generator.seedings[0])
    kept = states.copy()
    for act in (
        generator.step,
        generator.step_back,
        lambda given: generator.run(given, 700),
        lambda given: generator.jump(given, 3000),
    ):
        act(states)
        np.testing.assert_array_equal(states, kept)
    np.testing.assert_array_equal(seeds, SEEDS)


def test_floats_lie_between_0_and_1_and_use_the_whole_of_it(generator):
    count = 2000 * generator.unit_outputs
    made, _ = generator.run(seeded(generator), count)
    floats = generator.unit(made.reshape(SEEDS.size, 2000, generator.unit_outputs))
    assert floats.shape == (SEEDS.size, 2000)
    assert 0 <= floats.min() < 0.01
    assert 0.99 < floats.max() < 1
    assert abs(floats.mean() - 0.5) < 0.02
    largest = np.full(generator.unit_outputs, (1 << generator.word_bits) - 2, np.uint64)
    assert generator.unit(largest) < 1


def test_no_streams_and_no_steps_are_possible(generator):
    states = seeded(generator, SEEDS[:0])
    assert generator.run(states, 5)[0].shape == (0, 5)
    states = seeded(generator)
    made, after = generator.run(states, 0)
    assert made.shape == (SEEDS.size, 0)
    np.testing.assert_array_equal(after, states)
    np.testing.assert_array_equal(generator.jump(states, 0), states)


def test_what_a_generator_cannot_use_is_named(generator):
    with pytest.raises(GeneratorError, match=r"seeding must be one of .*; got 'dice'"):
        generator.seed(SEEDS, "dice")
    with pytest.raises(GeneratorError, match=r"seeds must be uint64 \(n,\), got int64"):
        generator.seed(SEEDS.astype(np.int64), generator.seedings[0])
    with pytest.raises(GeneratorError, match=r"states must be uint64 \(n, \d+\), got uint64"):
        generator.step(np.zeros((2, 999), np.uint64))
    with pytest.raises(GeneratorError, match="got float64"):
        generator.run(np.zeros((2, generator.state_words)), 1)


def test_a_misspelt_name_is_answered_with_the_nearest():
    assert generator_named("java") is GENERATORS["java"]
    with pytest.raises(GeneratorError, match="did you mean 'mt19937'"):
        generator_named("mt1937")


def test_every_generator_stands_under_its_own_name():
    assert all(name == generator.name for name, generator in GENERATORS.items())
    assert len(GENERATORS) == 15


@pytest.mark.parametrize(
    ("name", "place"), [("mt19937", 625), ("mt19937", -1), ("mt19937_64", 313)]
)
def test_a_library_state_must_fit(name, place):
    generator = GENERATORS[name]
    size = generator.state_words - 1
    with pytest.raises(GeneratorError, match=r"place must be 0\.\."):
        generator.of_library_state(np.ones((1, size), np.uint64), place)
    with pytest.raises(GeneratorError, match="words must be uint64"):
        generator.of_library_state(np.ones((1, size + 1), np.uint64), 0)
