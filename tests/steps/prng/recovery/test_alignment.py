from __future__ import annotations

import math

import numpy as np
import pytest

from steps.prng.recovery.alignment import NO_DRAW, align

GAIN, LOSS = math.log(1000), math.log(0.001)
EDGES = 2 * math.log(2)


def run(recorded, predicted, slack=0, rate=0.0):
    return align(recorded, predicted, slack, gain=GAIN, loss=LOSS, missing_rate=rate)


@pytest.fixture
def stream():
    return np.random.default_rng(5).integers(0, 1000, 400)


def test_equal_draws_are_one_stretch(stream):
    found = run(stream[:100], stream[:100])
    assert (found.first, found.stop, found.shift, found.missing) == (0, 100, 0, 0)
    assert (found.matches, found.compared) == (100, 100)
    assert found.log_ratio == pytest.approx(100 * GAIN - EDGES)


def test_a_mismatch_and_an_unread_draw_are_counted_for_what_they_are(stream):
    recorded = stream[:100].copy()
    recorded[40] = (recorded[40] + 1) % 1000
    recorded[60] = -1
    found = run(recorded, stream[:100])
    assert (found.matches, found.compared) == (98, 99)
    assert found.log_ratio == pytest.approx(98 * GAIN + LOSS - EDGES)


def test_missing_draws_move_the_shift_for_good(stream):
    recorded = np.delete(stream[:110], [20, 50, 51])
    found = run(recorded, stream[: recorded.size + 20], slack=10, rate=0.02)
    assert (found.matches, found.missing) == (107, 3)
    # The stream's start lies ten places before the draws' own.
    assert found.shift == -10


def test_a_stretch_in_the_middle_is_cut_out(stream):
    recorded = np.concatenate([stream[300:330], stream[30:90], stream[330:370]])
    predicted = np.concatenate([stream[200:230], stream[30:90], stream[230:270]])
    found = run(recorded, predicted)
    assert (found.first, found.stop, found.matches) == (30, 90, 60)
    assert found.log_ratio == pytest.approx(60 * GAIN - 2 * math.log(2 * 130))


def test_the_ratio_of_random_draws_is_one_on_average_at_most():
    chance = np.random.default_rng(11)
    gain, loss = math.log(4 * 0.8 + 0.2), math.log(0.2)
    ratios = []
    for _ in range(4000):
        recorded, predicted = chance.integers(0, 4, 12), chance.integers(0, 4, 16)
        found = align(recorded, predicted, 2, gain=gain, loss=loss, missing_rate=0.05)
        ratios.append(math.exp(found.log_ratio))
    assert np.mean(ratios) < 1


def test_a_prediction_of_the_wrong_length_is_refused(stream):
    with pytest.raises(ValueError, match="want 30 predicted draws, got 20"):
        run(stream[:20], stream[:20], slack=5)


@pytest.mark.parametrize("period", [1, 2, 8])
def test_of_equally_good_paths_the_one_without_shift_and_holes_is_taken(period):
    found = run(np.arange(100) % period, np.arange(-10, 110) % period, slack=10, rate=0.02)
    assert (found.shift, found.missing) == (0, 0)
    assert (found.first, found.stop, found.matches) == (0, 100, 100)


def test_no_path_leads_through_what_is_no_draw(stream):
    recorded, predicted = stream[:90].copy(), stream[:90].copy()
    recorded[:2], predicted[:2] = -1, NO_DRAW
    # Unread draws cost nothing, but before the seeding there were none.
    found = run(recorded, predicted)
    assert (found.first, found.stop, found.matches) == (2, 90, 88)
