from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import betainc

from steps.forensics.binomial import log_tails, upper_p


def test_tails_are_those_of_the_incomplete_beta_function():
    successes = np.arange(1, 41)
    expected = betainc(successes, 40 - successes + 1, 0.03)
    assert np.exp(log_tails(40, 0.03)[1:]) == pytest.approx(expected, rel=1e-9)


def test_no_tail_is_too_small_to_be_told():
    assert log_tails(2000, 1e-3)[-1] == pytest.approx(2000 * math.log(1e-3))
    assert log_tails(0, 0.5).tolist() == [0.0]


def test_more_successes_than_chance_gives_are_rare():
    assert upper_p(0, 10, 0.1) == 1.0
    assert upper_p(10, 10, 0.1) == pytest.approx(1e-10)


def test_what_is_no_chance_is_refused():
    with pytest.raises(ValueError, match="0 < chance < 1"):
        log_tails(5, 1.0)
