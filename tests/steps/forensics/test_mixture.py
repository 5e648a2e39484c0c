from __future__ import annotations

import math

import numpy as np
import pytest

from steps.forensics.mixture import SILENT, Belief, Mixture

M = 1000


def belief(**values):
    return Belief(**{"modulus": M, "corruption": 0.05, **values})


def said(*columns):
    return np.array(columns, np.int64)


def test_a_candidate_that_is_right_takes_over_and_gives_its_draw_all_but_the_corruption():
    mixture = Mixture(belief(), np.array([-30.0, -30.0]))
    for draw in range(20):
        mixture.update(said(draw, 500 + draw), draw)
    next_draw = mixture.next_draw(said(77, 600))
    assert next_draw.sum() == pytest.approx(1)
    assert next_draw[77] == pytest.approx(0.95 * 0.999, rel=1e-3)
    assert next_draw[600] < 1e-4


def test_without_evidence_the_prior_of_no_generator_leaves_every_value_alike():
    mixture = Mixture(belief(), np.full(1000, -40.0))
    next_draw = mixture.next_draw(np.arange(1000))
    assert next_draw == pytest.approx(np.full(M, 1 / M))


def test_two_hypotheses_are_weighed_as_bayes_does():
    sure = belief(hazard=0.0)
    mixture = Mixture(sure, np.array([math.log(0.2)]))
    mixture.update(said(4), 4)
    ratio = M * 0.95 + 0.05
    assert mixture.alive[0] == pytest.approx(0.2 * ratio / (1 + 0.2 * ratio))
    mixture.update(said(4), 5)
    ratio *= 0.05
    assert mixture.alive[0] == pytest.approx(0.2 * ratio / (1 + 0.2 * ratio))


def test_a_candidate_that_has_died_predicts_no_more():
    mixture = Mixture(belief(), np.array([-20.0]))
    for draw in range(10):
        mixture.update(said(draw), draw)
    before = mixture.alive[0]
    for draw in range(8):
        mixture.update(said(draw), 999)
    assert before > 0.99
    assert mixture.alive[0] < 1e-3
    assert mixture.alive.sum() <= 1
    assert mixture.next_draw(said(3))[3] < 2 / M


def test_one_that_takes_over_is_not_held_down_by_what_another_has_explained():
    mixture = Mixture(belief(), np.array([-30.0, -30.0]))
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, M, (2, 230))
    made = np.concatenate([first[:200], second[200:]])
    mixture.follow(said(first, second)[:, :212], made[:212])
    assert mixture.alive[1] > 0.99


def test_nothing_overflows_in_a_long_history():
    mixture = Mixture(belief(), np.array([-50.0, -1e6]))
    mixture.follow(np.zeros((2, 400), np.int64), np.zeros(400, np.int64))
    assert np.isfinite(mixture.next_draw(said(1, 2))).all()
    mixture.follow(np.zeros((2, 400), np.int64), np.ones(400, np.int64))
    assert 0 <= mixture.alive[0] <= 1


def test_a_draw_that_is_none_of_a_candidates_says_nothing_of_it():
    mixture = Mixture(belief(), np.array([-3.0, -3.0]))
    mixture.update(said(SILENT, 5), 5)
    assert mixture.alive[0] < 0.05 < mixture.alive[1]
    assert mixture.next_draw(said(SILENT, SILENT)) == pytest.approx(np.full(M, 1 / M))


def test_an_unread_draw_is_no_evidence_but_time_goes_on():
    mixture = Mixture(belief(hazard=0.1), np.array([-9.0]))
    mixture.follow(said([1, 2, 3]), said(1, 2, 3))
    sure = mixture.alive[0]
    mixture.update(said(5), -1)
    assert sure > 0.99
    assert mixture.alive[0] == pytest.approx(0.9 * sure, rel=1e-3)


def test_a_draw_may_have_a_hazard_of_its_own():
    mixture = Mixture(belief(), np.array([-9.0]))
    mixture.follow(said([1, 2, 3, 4]), said(1, 2, 3, 4))
    assert mixture.next_draw(said(5))[5] > 0.94
    assert mixture.next_draw(said(5), hazard=0.75)[5] == pytest.approx(0.25 * 0.95, rel=0.01)


def test_right_low_bits_alone_raise_their_lane():
    lanes = belief(lane_weight=0.5)
    mixture = Mixture(lanes, np.array([-5.0]))
    for draw in range(12):
        mixture.update(said(8 * draw + 1), 801)
    next_draw = mixture.next_draw(said(13))
    assert next_draw.sum() == pytest.approx(1)
    assert next_draw[21] > 3 / M > 1 / M > next_draw[22]


@pytest.mark.parametrize("options", [{}, {"lane_weight": 0.5}, {"hazard": 0.0}])
def test_one_value_s_probability_is_the_one_among_all(options):
    mixture = Mixture(belief(**options), np.array([-5.0, -6.0, -4.0]))
    for draw in range(12):
        mixture.update(said(8 * draw + 1, SILENT if draw % 2 else 801, 801), 801)
    for next_said in (said(13, 13, 801), said(13, SILENT, 5), said(SILENT, SILENT, SILENT)):
        among = mixture.next_draw(next_said)
        own = [mixture.probability_of(value, next_said) for value in (0, 5, 13, 21, 801)]
        assert own == pytest.approx(among[[0, 5, 13, 21, 801]])


def test_with_recency_old_evidence_fades():
    kept, faded = (Mixture(belief(recency_draws=r, hazard=0.0), np.zeros(1)) for r in (None, 2))
    for mixture in (kept, faded):
        for draw in range(5):
            mixture.update(said(draw), draw)
        mixture.update(said(0), 999)
        mixture.update(said(0), 999)
    assert kept.alive[0] > 0.99999 > faded.alive[0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"corruption": 0.0}, "corruption must be over 0"),
        ({"hazard": 1.0}, "hazard must be at least 0"),
        ({"lane_weight": -0.1}, "lane_weight must be"),
        ({"recency_draws": 0}, "recency_draws must be 1 or more"),
    ],
)
def test_beliefs_that_make_no_sense_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        belief(**values)
