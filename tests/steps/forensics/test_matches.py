from __future__ import annotations

import numpy as np
import pytest

from steps.forensics.candidates import predicted
from steps.forensics.documents import CandidateRecord
from steps.forensics.matches import blocks_of, predicted_beside, predicted_draws
from steps.prng import Law, generator_named, mapping_named

TRAIN = 60


def record(**values):
    usual = {
        "stream": "all",
        "generator": "java",
        "mapping": "next_int",
        "modulus": 1000,
        "gap": 0,
        "first": 0,
        "stop": TRAIN,
        "matches": TRAIN,
        "compared": TRAIN,
        "missing": 0,
        "log_ratio": 100.0,
        "log_hypotheses": 30.0,
        "origin": "seeds",
    }
    return CandidateRecord(**{**usual, **values})


def seeded(seed, **values):
    usual = {"seed": seed, "seeding": "scramble", "offset": 0}
    return record(**{**usual, **values})


CANDIDATES = [
    seeded(42),
    record(generator="xorshift32", mapping="mod", state=(2463534242,), origin="algebra"),
    seeded(7, offset=3, gap=2),
    seeded(42, gap=1, stop=20),
    record(generator="xorshift32", mapping="mod", state=(99,), first=5, origin="algebra"),
    seeded(5, generator="pcg32", mapping="multiply", seeding="default_stream", offset=1),
    seeded(8, offset=3, gap=2),
]


@pytest.mark.parametrize("first", [0, 7, TRAIN])
def test_many_candidates_at_once_say_what_each_says_alone(first):
    together = predicted_draws(CANDIDATES, first, 15)
    for row, candidate in enumerate(CANDIDATES):
        assert together[row].tolist() == predicted(candidate, first, 15).tolist()


def test_javas_own_draws_come_out():
    assert predicted_draws([seeded(42)], 0, 6)[0].tolist() == [130, 763, 248, 884, 970, 525]


def test_draws_missing_from_the_record_count_from_the_end_of_what_is_explained():
    whole = predicted(seeded(42), 0, 40)
    holed = seeded(42, stop=20, missing=3)
    assert predicted_draws([holed], 20, 10)[0].tolist() == whole[23:33].tolist()
    across = predicted_draws([seeded(1), holed], 15, 10)[1]
    assert across.tolist() == [*whole[15:20], *whole[23:28]]


def test_beside_the_record_missing_draws_lie_where_they_match():
    whole = predicted(seeded(42), 0, 44)
    recorded = np.delete(whole, [10, 25])[:40]
    recorded[3] = -1
    holed = seeded(42, stop=35, missing=2)
    beside = predicted_beside([seeded(9), holed], recorded)
    agree = beside[1] == recorded
    assert np.flatnonzero(~agree).tolist() == [3]
    assert beside[0].tolist() == predicted(seeded(9), 0, 40).tolist()


def test_blocks_share_all_candidates_out_and_stay_small():
    many = [seeded(seed) for seed in range(50)] + CANDIDATES
    blocks = blocks_of(many, 0, 1 << 18)
    assert max(block.rows.size for block in blocks) <= 16
    assert sorted(np.concatenate([block.rows for block in blocks])) == list(range(len(many)))


def test_wide_gaps_of_many_candidates_are_jumped_over():
    law = Law(generator_named("java"), mapping_named("next_int"), 1000, 400)
    blocks = blocks_of([seeded(seed, gap=400) for seed in range(3)], 0, 200_000)
    assert "unrejected" in blocks[0].law.mapping.name
    few = [seeded(seed, gap=400) for seed in range(3)]
    states = law.generator.seed(np.arange(3, dtype=np.uint64), "scramble")
    assert predicted_draws(few, 0, 5).tolist() == law.draws(states, 5).tolist()
