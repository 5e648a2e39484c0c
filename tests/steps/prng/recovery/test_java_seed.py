from __future__ import annotations

import numpy as np
import pytest

from steps.prng import GENERATORS
from steps.prng.recovery.java_seed import seeds_behind

JAVA = GENERATORS["java"]


def state_after(seed, outputs):
    return int(JAVA.jump(JAVA.seed(np.array([seed], np.uint64), "scramble"), outputs)[0, 0])


@pytest.mark.parametrize("outputs", [0, 1, 70_000])
def test_a_small_seed_is_read_off_a_later_state(outputs):
    (found,) = [
        seed
        for seed in seeds_behind(state_after(424_242, outputs), 70_000, 20)
        if seed.outputs == outputs
    ]
    assert found.seed == 424_242
    assert found.chance == pytest.approx((outputs + 1) * 2.0**-28)


def test_every_state_is_some_seed_s():
    (found,) = seeds_behind(123_456_789_012_345, 0, 48)
    assert state_after(found.seed, 0) == 123_456_789_012_345
    assert found.chance == 1.0


def test_no_seed_is_read_beyond_the_furthest_output():
    assert seeds_behind(state_after(5, 100), 99, 24) == []


@pytest.mark.parametrize(("state", "furthest", "bits"), [(1 << 48, 0, 32), (1, -1, 32), (1, 0, 49)])
def test_impossible_questions_are_refused(state, furthest, bits):
    with pytest.raises(ValueError, match="got"):
        seeds_behind(state, furthest, bits)
