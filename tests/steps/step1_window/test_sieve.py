from __future__ import annotations

import numpy as np
import pytest

from steps.forensics.candidates import predicted, proven
from steps.prng import GENERATORS, MAPPINGS, Law
from steps.step1_window.sieve import Pass, sieve, sieve_passes

PASSES = (Pass("pcg32", "stream_54", "mod", 2048), Pass("java", "scramble", "next_int", 2048))


def sifted(draws, passes=PASSES, kept=100, modulus=1000, stop=lambda: False):
    return sieve(
        draws,
        modulus,
        passes,
        kept=kept,
        corruption=0.1,
        log_searches=np.log(10),
        should_stop=stop,
        tell=lambda done: None,
    )


@pytest.fixture
def noise():
    return np.random.default_rng(3).integers(0, 1000, 120)


def test_the_seed_behind_the_draws_comes_first_and_predicts(noise):
    law = Law(GENERATORS["java"], MAPPINGS["next_int"], 1000)
    seeded = GENERATORS["java"].seed(np.array([1234], np.uint64), "scramble")
    made = law.draws(seeded, 130)[0]
    draws = made[:120].copy()
    draws[::7] = noise[::7]
    best = sifted(draws).candidates[0]
    assert (best.generator, best.seed, best.offset, best.origin) == ("java", 1234, 0, "sieve")
    assert proven(best)
    assert predicted(best, 120, 10).tolist() == made[120:].tolist()


def test_of_noise_those_with_the_most_matches_are_kept_and_none_is_proven(noise):
    done = sifted(noise, kept=30)
    assert len(done.candidates) == 30
    assert not any(proven(candidate) for candidate in done.candidates)
    recent = noise[-done.window :]
    matches = [
        np.count_nonzero(predicted(c, 120 - done.window, done.window) == recent)
        for c in done.candidates
    ]
    # 4,096 seeds over 16 draws: a match by chance for about 65 of them.
    assert min(matches) >= 1


def test_the_window_is_wide_enough_that_chance_hardly_fills_it(noise):
    done = sifted(noise)
    assert 4096 * 1000.0**-done.sure < 0.01 <= 4096 * 1000.0 ** (1 - done.sure)
    assert done.window == 8 * done.sure


def test_unread_draws_match_nobody(noise):
    noise[:] = -1
    assert {candidate.matches for candidate in sifted(noise).candidates} == {0}


def test_a_sieve_that_is_stopped_says_so(noise):
    asked = iter([False, True])
    done = sifted(noise, stop=lambda: next(asked, True))
    assert (done.complete, done.passes) == (False, PASSES[:1])


def test_there_is_a_pass_for_every_seeding_and_shorter_ones_for_long_states():
    passes = sieve_passes((("pcg32", "mod"), ("mt19937", "mod")), 4096)
    assert {one.seeding for one in passes} >= {*GENERATORS["pcg32"].seedings, "init_by_array"}
    assert {one.seeds for one in passes} == {4096, 512}


def test_a_seed_that_makes_one_value_only_is_no_survivor():
    passes = (Pass("xorshift32", "raw", "mod", 2048),)
    done = sifted(np.zeros(120, np.int64), passes)
    assert len(done.candidates) == 99
    assert 0 not in {candidate.seed for candidate in done.candidates}
