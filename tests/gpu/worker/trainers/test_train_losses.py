from __future__ import annotations

import numpy as np
import pytest

from gpu.worker.trainers.train_losses import TrainLosses, due_rounds


@pytest.mark.parametrize("rounds", [1, 2, 30, 500, 100_000])
def test_rounds_are_due_often_at_first_and_ever_more_seldom(rounds):
    due = sorted(due_rounds(rounds))
    assert due[0] == 1
    assert due[-1] <= rounds
    gaps = np.diff(due)
    assert (np.diff(gaps) >= -1).all()  # rounding
    assert (gaps <= np.maximum(1, 0.2 * np.array(due[:-1]))).all()
    assert len(due) < 100


def measured(losses, rounds, value):
    asked = []
    for number in range(1, rounds + 1):
        losses.after_round(number, lambda number=number: asked.append(number) or value(number))
    losses.at_end(rounds, lambda: asked.append(rounds) or value(rounds))
    return asked


def test_a_curve_is_right_where_it_was_measured_and_near_it_in_between():
    absent = []
    losses = TrainLosses(500, absent)
    asked = measured(losses, 333, lambda number: 3 + 7 * np.exp(-number / 80))
    assert not absent
    assert asked == sorted(set(asked))
    assert asked[-1] == 333
    assert len(asked) < 50
    curve = losses.curve(333)
    true = 3 + 7 * np.exp(-np.arange(1, 334) / 80)
    np.testing.assert_array_equal(curve[np.array(asked) - 1], true[np.array(asked) - 1])
    np.testing.assert_allclose(curve, true, rtol=0.01)


def test_a_fault_ends_the_measuring_and_is_told_once():
    absent = []
    losses = TrainLosses(50, absent)

    def value(number):
        if number >= 3:
            raise MemoryError
        return 1.0

    assert measured(losses, 50, value) == [1, 2, 3]
    assert absent == ["the training loss from round 3 on: MemoryError"]
    with pytest.raises(ValueError, match="not measured to the end"):
        losses.curve(50)
