"""What a find says of the seed: evidence, or a seed that does the same."""

from __future__ import annotations

import numpy as np
import pytest

from steps.forensics.candidates import candidate_of, predicted
from steps.prng import GENERATORS, MAPPINGS, Law
from steps.prng.recovery.found import Found
from steps.step1_window.report import window_found
from steps.step1_window.seeds_read import with_seed


def read(generator, mapping, modulus, seed, offset, *, by_seeds=False, score=100.0):
    """The candidate of a state that this seed has made; and the draws from draw 0 on."""
    law = Law(GENERATORS[generator], MAPPINGS[mapping], modulus, 0, offset)
    seeding = law.generator.seedings[0]
    seeded = law.generator.seed(np.array([seed], np.uint64), seeding)
    found = Found(
        generator=generator,
        mapping=mapping,
        modulus=modulus,
        state=tuple(law.states_before(seeded, 0)[0].tolist()),
        gap=0,
        first=0,
        stop=100,
        matches=100,
        compared=100,
        missing=0,
        log_ratio=score,
        log_hypotheses=0.0,
        seed=seed if by_seeds else None,
        seeding=seeding if by_seeds else None,
        offset=offset if by_seeds else None,
    )
    held = with_seed(candidate_of(found, "all", 0, by_seeds=by_seeds), found)
    return held, law.draws(seeded, 50)[0]


@pytest.mark.parametrize(
    ("generator", "mapping", "seed", "offset"),
    [
        ("java", "next_int", 12_345, 77),
        ("java", "digits_next_int", 987_654_321, 0),
        ("minstd_rand", "mod", 42, 50),
        ("lcg32", "mod", 12_345, 0),
        ("xorshift64", "mod", 12_345, 50),
    ],
)
def test_a_small_seed_a_few_calls_before_draw_0_is_evidence(generator, mapping, seed, offset):
    held, _ = read(generator, mapping, 1000, seed, offset)
    assert (held.seed, held.offset, held.seed_calls) == (seed, offset, offset)
    assert held.seed_known
    assert held.seed_chance < 1e-3


@pytest.mark.parametrize(
    ("generator", "modulus", "seed", "offset", "seen"),
    [
        ("minstd_rand", 1000, 1_012_345_678, 50, None),
        ("java", 1000, 271_828_182_845_904, 77, None),
        ("java", 1024, 271_828_182_845_904, 0, 26),
        ("lcg32", 16, 12_345, 0, 4),
        ("xorshift32", 1000, 3_012_345_678, 5, None),
    ],
)
def test_a_seed_that_any_state_would_have_is_an_equivalent_only(
    generator, modulus, seed, offset, seen
):
    held, draws = read(generator, "mod", modulus, seed, offset)
    assert (held.seed_known, held.offset, held.seen_bits) == (False, 0, seen)
    assert held.seed != seed
    same = held.model_copy(update={"state": None})
    assert predicted(same, 0, 50).tolist() == draws.tolist()


def test_a_seed_that_was_searched_for_is_known_unless_all_states_have_one_so_small():
    assert read("pcg32", "mod", 1000, 4_000_000_000, 3, by_seeds=True)[0].seed_known
    assert read("mt19937", "mod", 1000, 4_000_000_000, 0, by_seeds=True)[0].seed_known
    assert not read("lcg32", "mod", 8, 5, 0, by_seeds=True)[0].seed_known


def test_a_state_that_is_not_proven_is_not_read():
    held, _ = read("java", "next_int", 1000, 12_345, 0, score=5.0)
    assert held.seed is None


def test_calls_are_counted_without_the_outputs_that_nextint_throws_away():
    # nextInt(M) throws away nearly half of the outputs.
    held, draws = read("java", "next_int", (1 << 30) + 1, 12, 300)
    assert (held.seed, held.offset, held.seed_known) == (12, 300, True)
    assert predicted(held.model_copy(update={"state": None}), 0, 50).tolist() == draws.tolist()


def test_the_page_says_which_seed_is_known_and_which_does_the_same():
    known, _ = read("java", "next_int", 1000, 12_345, 77)
    other, _ = read("java", "mod", 1024, 271_828_182_845_904, 0)
    page = "\n".join(window_found([known, other]))
    assert "| 12345 (scramble), 77 calls before draw 0 |" in page
    assert f"| not known; {other.seed} (scramble) does the same |" in page
    assert "does not say when, or with what, the machine was seeded" in page
    assert "the lowest 26 bits of the state alone" in page
