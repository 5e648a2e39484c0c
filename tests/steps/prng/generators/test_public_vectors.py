"""Every generator against numbers that its authors, or a standard, have published."""

from __future__ import annotations

import numpy as np
import pytest

from steps.prng import generator_named
from steps.prng.generators.mersenne_seeding import FILLING_32, FILLING_64, words_of_key
from steps.prng.generators.philox import philox_block


def words(*values):
    return np.array(values, np.uint64)


def outputs(name, seed, seeding, count):
    generator = generator_named(name)
    return generator.run(generator.seed(words(seed), seeding), count)[0][0].tolist()


def outputs_of_state(name, state, count):
    return generator_named(name).run(words(*state)[np.newaxis], count)[0][0].tolist()


@pytest.mark.parametrize(
    ("name", "seed", "seeding", "first"),
    [
        ("java", 42, "scramble", [-1170105035 % 2**32]),
        ("mt19937", 5489, "init_genrand", [3499211612]),
        ("mt19937", 31337, "init_genrand", [3100331191, 3480951327, 4150831638]),
        ("xorshift32", 2463534242, "raw", [723471715]),
        ("xorshift64", 88172645463325252, "raw", [8748534153485358512, 3040900993826735515]),
        ("xorshift64star", 1, "raw", [5180492295206395165]),
        (
            "pcg32",
            42,
            "stream_54",
            [0xA15C02B7, 0x7B47F409, 0xBA1D3330, 0x83D2F293, 0xBFA4784B, 0xCBED606E],
        ),
        (
            "splitmix64",
            1234567,
            "raw",
            [6457827717110365317, 3203168211198807973, 9817491932198370423],
        ),
        (
            "xoshiro256plusplus",
            0,
            "splitmix64",
            [5987356902031041503, 7051070477665621255, 6633766593972829180, 211316841551650330],
        ),
    ],
)
def test_the_first_outputs_of_a_seed_are_the_published_ones(name, seed, seeding, first):
    assert outputs(name, seed, seeding, len(first)) == first


@pytest.mark.parametrize(
    ("name", "state", "first"),
    [
        (
            "xorshift128",
            (123456789, 362436069, 521288629, 88675123),
            [3701687786, 458299110, 2500872618, 3633119408, 516391518],
        ),
        (
            "xoshiro256plusplus",
            (1, 2, 3, 4),
            [41943041, 58720359, 3588806011781223, 3591011842654386, 9228616714210784205],
        ),
        ("philox4x32", (0, 0, 0, 0), [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        (
            "philox4x32",
            (2**64 - 1, 2**64 - 1, 2**64 - 1, 0),
            [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD],
        ),
    ],
)
def test_the_first_outputs_of_a_state_are_the_published_ones(name, state, first):
    assert outputs_of_state(name, state, len(first)) == first


@pytest.mark.parametrize(
    ("name", "seed", "seeding", "output"),
    [
        ("mt19937", 5489, "init_genrand", 4123659995),
        ("mt19937_64", 5489, "init_genrand", 9981545732273789042),
        ("minstd_rand", 1, "std", 399268537),
        ("minstd_rand0", 1, "std", 1043618065),
        ("philox4x32", 20111115, "key", 1955073260),
    ],
)
def test_the_10000th_output_of_the_default_seed_is_that_of_the_cpp_standard(
    name, seed, seeding, output
):
    assert outputs(name, seed, seeding, 10000)[-1] == output


def test_philox_gives_random123s_answer_for_the_digits_of_pi():
    counter = (0x85A308D3243F6A88, 0x0370734413198A2E)
    key = 0x299F31D0A4093822
    block = philox_block(words(counter[0]), words(counter[1]), words(key))
    assert [int(word[0]) for word in block] == [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]


@pytest.mark.parametrize(
    ("name", "filling", "key", "first"),
    [
        ("mt19937", FILLING_32, (0x123, 0x234, 0x345, 0x456), [1067595299, 955945823, 477289528]),
        (
            "mt19937_64",
            FILLING_64,
            (0x12345, 0x23456, 0x34567, 0x45678),
            [7266447313870364031, 4946485549665804864, 16945909448695747420],
        ),
    ],
)
def test_init_by_array_gives_its_authors_outputs(name, filling, key, first):
    generator = generator_named(name)
    ring = np.stack(words_of_key(filling, [words(part) for part in key]), axis=1)
    made, _ = generator.run(generator.of_library_state(ring, filling.words), len(first))
    assert made[0].tolist() == first


def test_pcg32_keeps_the_stream_it_was_given():
    generator = generator_named("pcg32")
    states = generator.srandom(words(42, 42), words(54, 55))
    made, after = generator.run(states, 3)
    assert made[0].tolist() == [0xA15C02B7, 0x7B47F409, 0xBA1D3330]
    assert made[1].tolist() != made[0].tolist()
    assert after[:, 1].tolist() == [109, 111]
