"""A search over seeds comes to the same, wherever its seeds are sifted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from steps.prng.recovery import brute_force
from steps.prng.recovery.brute_force import BLOCK_SEEDS, search_seeds
from steps.prng.recovery.sifting import Sifted, SifterFailed, sift_here

PART = 4 * BLOCK_SEEDS


class Elsewhere:
    """A Sifter in this very process; `fails` at that sifting."""

    def __init__(self, parts=3, at_once=2, fails=None):
        self.parts, self.at_once, self.fails = parts, at_once, fails
        self.asked, self.cancelled = [], []

    def parts_at_once(self, lanes):
        return self.parts

    def submit(self, sifting):
        self.asked.append(sifting)
        return Sent(self, len(self.asked) - 1)


class Sent:
    def __init__(self, sifter, number):
        self.sifter, self.number = sifter, number

    def result(self):
        if self.number == self.sifter.fails:
            raise SifterFailed("it broke")
        return sift_here(self.sifter.asked[self.number])

    def cancel(self):
        self.sifter.cancelled.append(self.number)


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch):
    monkeypatch.setattr(brute_force, "_BLOCKS_AT_ONCE", 4)


@pytest.mark.parametrize("parts_at_once", [1, 3, 100])
@pytest.mark.parametrize("seed", [100_000, 10**9])
def test_the_result_is_the_same_to_the_last_count(history, seed, parts_at_once):
    made = history("java", "next_int", 10, draws=60, gap=1, offset=2, seed=seed, corruption=0.1)
    asked = made.question((0, 1), corruption=0.1), "scramble"
    options = {"seeds": range(20, 150_000), "offsets": (0, 2), "start_block": 7}
    sifter = Elsewhere(parts_at_once)
    there = search_seeds(*asked, **options, sifter=sifter)
    assert there == search_seeds(*asked, **options)
    assert (there.search.found is not None) == (seed == 100_000)
    assert there.first_looks > 0
    assert max(len(sifting.parts) for sifting in sifter.asked) == min(parts_at_once, 10)


def test_a_search_goes_on_elsewhere_and_comes_back(history):
    made = history("pcg32", draws=30, offset=0, seed=190_000)
    whole = search_seeds(made.question(), "default_stream", seeds=range(200_000))
    tested, block = 0, 0
    for sifter in (Elsewhere(), None, Elsewhere(1, 1), None):
        asked = iter([False, True])
        question = replace(made.question(), should_stop=lambda asked=asked: next(asked, True))
        search = search_seeds(
            question, "default_stream", seeds=range(200_000), start_block=block, sifter=sifter
        )
        block, tested = search.next_block, tested + search.tested
        assert tested == block * BLOCK_SEEDS
    rest = search_seeds(
        made.question(),
        "default_stream",
        seeds=range(200_000),
        start_block=block,
        sifter=Elsewhere(),
    )
    assert rest.search.found == whole.search.found
    assert tested + rest.tested == whole.tested


def test_after_a_find_nothing_more_is_wanted(history):
    made = history("java", draws=30, offset=0, seed=5)
    sifter = Elsewhere(2, 5)
    search = search_seeds(made.question(), "scramble", seeds=range(1 << 20), sifter=sifter)
    assert (search.search.found.seed, search.tested) == (5, PART)
    assert sifter.cancelled == [1, 2, 3, 4]


def test_a_failure_elsewhere_is_told_and_what_waits_is_called_off(history):
    made = history("java", draws=30, offset=0, seed=10**9)
    sifter = Elsewhere(1, 3, fails=2)
    with pytest.raises(SifterFailed, match="it broke"):
        search_seeds(made.question(), "scramble", seeds=range(1 << 20), sifter=sifter)
    assert sifter.cancelled == [3, 4]


@pytest.mark.parametrize(
    ("generator", "seeding", "sifter"),
    [("java", "scramble", Elsewhere(parts=0)), ("lcg32", "srandom", Elsewhere())],
)
def test_what_it_has_no_kernel_for_is_not_asked_of_it(history, generator, seeding, sifter):
    made = history(generator, draws=20, offset=0, seed=450, seeding=seeding)
    search = search_seeds(made.question(), seeding, seeds=range(400, 500), sifter=sifter)
    assert (search.search.found.seed, sifter.asked) == (450, [])


def test_of_the_survivors_the_best_are_kept_the_first_of_equal_ones():
    matched = np.array([3, 9, 3, 9, 5], np.uint8)
    kept = Sifted.of(100, 20, np.arange(5, dtype=np.uint64), matched, 3)
    assert (kept.tested, kept.passed, kept.survivors) == (100, 20, 5)
    assert (kept.seeds.tolist(), kept.matched.tolist()) == ([1, 3, 4], [9, 9, 5])
