"""Every generator that this machine has in another library gives that library's numbers."""

from __future__ import annotations

import ctypes
import random
import shutil
import subprocess
import sys

import numpy as np
import pytest

from steps.prng import Law, generator_named, mapping_named

SEEDS = [0, 1, 42, 31337, 2**31, 2**32 - 1, 2**32, 2**53 + 11, 2**64 - 1]


def words(*values):
    return np.array(values, np.uint64)


def drawn(name, mapping, modulus, seeds, seeding, count):
    law = Law(generator_named(name), mapping_named(mapping), modulus)
    return law.draws(law.generator.seed(words(*seeds), seeding), count)


def test_mt19937_seeded_by_array_is_cpythons_random():
    generator = generator_named("mt19937")
    made, _ = generator.run(generator.seed(words(*SEEDS), "init_by_array"), 700)
    for row, seed in zip(made, SEEDS, strict=True):
        theirs = random.Random(seed)
        assert row.tolist() == [theirs.getrandbits(32) for _ in range(700)]


def test_mt19937_multiplied_draws_are_cpythons_random_times_m():
    ours = drawn("mt19937", "multiply", 1000, SEEDS, "init_by_array", 400)
    for row, seed in zip(ours, SEEDS, strict=True):
        theirs = random.Random(seed)
        assert row.tolist() == [int(theirs.random() * 1000) for _ in range(400)]


def test_mt19937_seeded_by_number_is_numpys_old_random_state():
    seeds = [seed for seed in SEEDS if seed < 2**32]
    ours = drawn("mt19937", "multiply", 997, seeds, "init_genrand", 400)
    for row, seed in zip(ours, seeds, strict=True):
        theirs = np.random.RandomState(seed).random_sample(400)
        assert row.tolist() == (theirs * 997).astype(int).tolist()


def test_mt19937_seeded_by_seed_sequence_is_numpys_bit_generator():
    generator = generator_named("mt19937")
    made, _ = generator.run(generator.seed(words(*SEEDS), "seed_sequence"), 1300)
    for row, seed in zip(made, SEEDS, strict=True):
        assert row.tolist() == np.random.MT19937(seed).random_raw(1300).tolist()


def test_mt19937_goes_on_from_any_place_of_a_library_state():
    generator = generator_named("mt19937")
    for taken in (0, 1, 300, 623, 624, 1000):
        theirs = np.random.RandomState(7)
        theirs.randint(0, 2**32, taken, dtype=np.uint32)
        _, key, place, *_ = theirs.get_state()
        state = generator.of_library_state(key.astype(np.uint64)[np.newaxis], place)
        expected = theirs.randint(0, 2**32, 900, dtype=np.uint32)
        assert generator.run(state, 900)[0][0].tolist() == expected.tolist()


def test_sfc64_seeded_by_seed_sequence_is_numpys():
    generator = generator_named("sfc64")
    made, _ = generator.run(generator.seed(words(*SEEDS), "seed_sequence"), 50)
    for row, seed in zip(made, SEEDS, strict=True):
        assert row.tolist() == np.random.SFC64(seed).random_raw(50).tolist()


def test_sfc64_goes_on_from_numpys_state_and_has_its_floats():
    generator = generator_named("sfc64")
    theirs = np.random.SFC64(3)
    theirs.random_raw(17)
    state = theirs.state["state"]["state"].astype(np.uint64)[np.newaxis]
    law = Law(generator, mapping_named("multiply"), 1000)
    floats = np.random.Generator(theirs).random(100)
    assert law.draws(state, 100)[0].tolist() == (floats * 1000).astype(int).tolist()


class RandomData(ctypes.Structure):
    """struct random_data of glibc's stdlib.h."""

    _fields_ = [
        ("fptr", ctypes.c_void_p),
        ("rptr", ctypes.c_void_p),
        ("state", ctypes.c_void_p),
        ("rand_type", ctypes.c_int),
        ("rand_deg", ctypes.c_int),
        ("rand_sep", ctypes.c_int),
        ("end_ptr", ctypes.c_void_p),
    ]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="wants glibc")
def test_lcg32_is_glibcs_random_with_eight_bytes_of_state():
    libc = ctypes.CDLL("libc.so.6")
    if not hasattr(libc, "initstate_r"):
        pytest.skip("this C library has no initstate_r")
    generator = generator_named("lcg32")
    seeds = [seed for seed in SEEDS if seed < 2**32]
    made, _ = generator.run(generator.seed(words(*seeds), "srandom"), 50)
    for row, seed in zip(made, seeds, strict=True):
        buffer, data, answer = ctypes.create_string_buffer(8), RandomData(), ctypes.c_int32()
        assert libc.initstate_r(ctypes.c_uint(seed), buffer, 8, ctypes.byref(data)) == 0
        theirs = []
        for _ in range(50):
            libc.random_r(ctypes.byref(data), ctypes.byref(answer))
            theirs.append(answer.value)
        assert row.tolist() == theirs


JAVA_SEEDS = [0, 42, 123456789, 2**31 + 5, 2**48 + 9, 2**63 + 1]
JAVA_CALLS = 60
# The last one throws a quarter of the outputs away.
JAVA_BOUNDS = [10, 100, 1000, 1024, 7, 3 << 29]
JAVA_SOURCE = """
import java.util.*;
import java.util.random.*;

public class Oracle {
    public static void main(String[] arguments) {
        int calls = Integer.parseInt(arguments[0]);
        for (int at = 1; at < arguments.length; at++) {
            long seed = Long.parseUnsignedLong(arguments[at]);
            for (int bound : new int[] {BOUNDS}) {
                Random random = new Random(seed);
                line("bound " + bound, calls, () -> random.nextInt(bound));
            }
            Random words = new Random(seed);
            line("nextInt", calls, () -> words.nextInt() & 0xffffffffL);
            Random floats = new Random(seed);
            line("double", calls, () -> (int) (floats.nextDouble() * 1000));
            SplittableRandom split = new SplittableRandom(seed);
            line("split", calls, () -> split.nextLong());
            RandomGenerator plus = RandomGeneratorFactory.of("Xoshiro256PlusPlus").create(seed);
            line("xoshiro", calls, () -> plus.nextLong());
        }
    }

    static void line(String name, int calls, java.util.function.Supplier<Number> next) {
        StringBuilder text = new StringBuilder(name + ":");
        for (int call = 0; call < calls; call++) {
            text.append(' ').append(Long.toUnsignedString(next.get().longValue()));
        }
        System.out.println(text);
    }
}
"""


@pytest.fixture(scope="module")
def jdk(tmp_path_factory):
    """What java.util says: one list of numbers a seed, by the name of the line."""
    if not (shutil.which("java") and shutil.which("javac")):
        pytest.skip("no JDK here: wants java and javac")
    source = tmp_path_factory.mktemp("java") / "Oracle.java"
    source.write_text(JAVA_SOURCE.replace("BOUNDS", ", ".join(map(str, JAVA_BOUNDS))))
    run = subprocess.run(
        ["java", "-XX:TieredStopAtLevel=1", str(source), str(JAVA_CALLS), *map(str, JAVA_SEEDS)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if "Xoshiro256PlusPlus" in run.stderr or "java.util.random" in run.stderr:
        pytest.skip("this JDK is older than 17")
    assert run.returncode == 0, run.stderr
    lines: dict[str, list[list[int]]] = {}
    for line in run.stdout.splitlines():
        name, _, numbers = line.partition(": ")
        lines.setdefault(name, []).append([int(number) for number in numbers.split()])
    return lines


@pytest.mark.parametrize("bound", JAVA_BOUNDS)
def test_java_draws_with_a_bound_are_the_jdks(jdk, bound):
    ours = drawn("java", "next_int", bound, JAVA_SEEDS, "scramble", JAVA_CALLS)
    assert ours.tolist() == jdk[f"bound {bound}"]


def test_java_floats_are_the_jdks(jdk):
    ours = drawn("java", "multiply", 1000, JAVA_SEEDS, "scramble", JAVA_CALLS)
    assert ours.tolist() == jdk["double"]


@pytest.mark.parametrize(
    ("name", "seeding", "line"),
    [
        ("java", "scramble", "nextInt"),
        ("splitmix64", "raw", "split"),
        ("xoshiro256plusplus", "java", "xoshiro"),
    ],
)
def test_raw_outputs_are_the_jdks(jdk, name, seeding, line):
    generator = generator_named(name)
    made, _ = generator.run(generator.seed(words(*JAVA_SEEDS), seeding), JAVA_CALLS)
    assert made.tolist() == jdk[line]
