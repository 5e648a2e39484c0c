from __future__ import annotations

import numpy as np
import pytest

from steps.forensics.documents import HypothesisTest
from steps.forensics.multiplicity import corrected, holm


def test_holms_correction_of_a_worked_example():
    # Holm 1979's steps: times 4, 3, 2, 1 from the smallest up, and never falling.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert holm([0.4, 0.6]) == (0.8, 0.8)
    assert holm([0.9, 0.8, 0.7]) == (1.0, 1.0, 1.0)
    assert holm([0.2]) == (0.2,)
    assert holm([]) == ()


@pytest.mark.parametrize("values", [[0.1, 1.1], [-0.1], [float("nan")]])
def test_what_is_no_p_value_is_refused(values):
    with pytest.raises(ValueError, match=r"must be 0\.\.1"):
        holm(values)


def test_any_false_rejection_is_as_rare_as_alpha_however_tests_depend_on_each_other():
    rng = np.random.default_rng(1)
    own = rng.random((4000, 5))
    shared = np.repeat(rng.random((4000, 1)), 5, axis=1)
    for values in (own, shared):
        rejected = np.mean([min(holm(row)) <= 0.05 for row in values])
        assert rejected < 0.06
    # With one false hypothesis the others are tested at alpha / 4, as Bonferroni would not.
    own[:, 0] = 1e-9
    assert 0.03 < np.mean([sorted(holm(row))[1] <= 0.05 for row in own]) < 0.06


def test_each_test_of_a_document_gets_its_corrected_value():
    def of(p):
        return HypothesisTest(
            name="t", statistic=1.0, p_value=p, p_corrected=1.0, sentence="so it is"
        )

    assert [test.p_corrected for test in corrected([of(0.3), of(0.02)])] == [0.3, 0.04]
