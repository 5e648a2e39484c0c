from __future__ import annotations

import math

import numpy as np
import pytest

from steps.forensics.candidates import predicted
from steps.forensics.mixture import Belief
from steps.step3_scoring.controls import controls_wanted, draw_controls
from steps.step3_scoring.features import features_of, useful, z_score
from steps.step3_scoring.measure import Record, measure
from steps.step3_scoring.parts_of_draws import parts_of, prime_powers
from steps.step3_scoring.scoring import records_of, score
from tests.steps.forensics.made_workspace import candidate, made_history

BELIEF = Belief(1000, 0.05)


def never():
    return False


def features(candidates, record, belief=BELIEF):
    parts = parts_of(belief.modulus)
    measured = measure(candidates, record, parts, belief, threads=2, should_stop=never)
    return features_of(candidates, measured, record, parts, belief), measured


def by_hand(said, train):
    """The same figures, draw by draw."""
    right = [s == r for s, r in zip(said, train, strict=True)]
    readable = [i for i, r in enumerate(train) if r >= 0]
    n, k = len(readable), sum(right[i] for i in readable)
    runs, run = [0], 0
    for i in readable:
        run = run + 1 if right[i] else 0
        runs.append(run)
    late = [i for i in readable if i >= readable[n * 3 // 4]]
    shifted = sum(
        not right[i] and train[i] in (said[i - 1] if i else -2, [*said, -2][i + 1])
        for i in readable
    )
    times = np.arange(n) - (n - 1) / 2
    moment = sum(t for t, i in zip(times, readable, strict=True) if right[i])
    rate = k / n
    return {
        "log_ratio": k * math.log(1000 * 0.95 + 0.05) + (n - k) * math.log(0.05),
        "mod_8_z": z_score(sum(said[i] % 8 == train[i] % 8 for i in readable), n, 1 / 8),
        "mod_125_z": z_score(sum(said[i] % 125 == train[i] % 125 for i in readable), n, 1 / 125),
        "digit_2_z": z_score(
            sum(said[i] // 10 % 10 == train[i] // 10 % 10 for i in readable), n, 0.1
        ),
        "longest_run": max(runs),
        "late_rate": sum(right[i] for i in late) / len(late),
        "slope_z": moment / math.sqrt(rate * (1 - rate) * (times**2).sum()),
        "shifted_share": shifted / (n - k),
    }


def test_features_are_what_counting_by_hand_gives():
    one = candidate(31337)
    said = predicted(one, 0, 140)
    train = said[:100].copy()
    rng = np.random.default_rng(0)
    train[40:] = rng.integers(0, 1000, 60)
    train[60:70] = said[61:71]
    train[[5, 90]] = -1
    got, measured = features([candidate(1), one], Record(train, said[100:].copy(), 40))
    for name, value in by_hand(said[:100].tolist(), train.tolist()).items():
        assert got[name][1] == pytest.approx(value), name
    assert measured.hits.tolist()[1] == 40


def test_features_know_nothing_of_the_draws_held_back():
    rng = np.random.default_rng(2)
    train = rng.integers(0, 1000, 80)
    one, other = (
        features([candidate(seed) for seed in range(30)], Record(train, held, 40))[0]
        for held in rng.integers(0, 1000, (2, 40))
    )
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name])


def test_the_tail_is_the_exact_one_less_the_size_of_the_search():
    said = predicted(candidate(1), 0, 50)
    train = np.where(np.arange(50) == 7, said, (said + 1) % 1000)
    got, _ = features([candidate(1, log_hypotheses=math.log(1e4))], Record(train, said[:0], 0))
    assert got["tail_log10"][0] == pytest.approx(-math.log10(1 - 0.999**50) - 4)


def test_recency_and_lanes_weigh_the_log_ratio():
    said = predicted(candidate(1), 0, 4)
    train = np.array([said[0], (said[1] + 8) % 1000, (said[2] + 1) % 1000, said[3]])
    belief = Belief(1000, 0.1, recency_draws=2, lane_weight=0.5)
    match, lane, miss = belief.log_ratios
    got, _ = features([candidate(1)], Record(train, said[:0], 0), belief)
    expected = match * (1 + 0.5**1.5) + lane * 0.5 + miss * 0.5**0.5
    # 1000 is a multiple of 8, so that adding 8 stays in the lane across the end, too.
    assert got["log_ratio"][0] == pytest.approx(expected)


def test_constant_columns_and_copies_are_named_and_left_out():
    x = np.array([1.0, 2.0, 4.0, 8.0])
    made = useful(
        {
            "a": x,
            "flat": np.ones(4),
            "minus": 3 - 2 * x,
            "kind": np.array(["p", "q", "p", "q"]),
            "renamed": np.array(["x", "y", "x", "y"]),
            "b": x**2,
            "holes": np.array([np.nan, 1.0, np.nan, 2.0]),
        }
    )
    assert list(made.columns) == ["a", "kind", "b", "holes"]
    assert made.dropped == {
        "flat": "the same for all",
        "minus": "a copy of a",
        "renamed": "a copy of kind",
    }


def test_a_missing_draw_inside_what_is_explained_does_not_end_the_matches():
    said = predicted(candidate(9), 0, 61)
    recorded = np.delete(said, 30)
    holed = candidate(9, missing=1, stop=50)
    got, measured = features([holed], Record(recorded[:50], recorded[50:], 10))
    assert got["longest_run"][0] == 50
    assert measured.hits[0] == 10


def test_every_stream_has_the_same_number_of_trials():
    history, _ = made_history(count=90, sessions=("noon", "night"))
    # Two draws at noon for one at night.
    sessions = ("noon", "noon", "night") * 30
    train, holdout = (
        type(history)(history.draws[part], (), sessions[part], history.facts)
        for part in (slice(0, 60), slice(60, 90))
    )
    records = records_of(train, holdout, ["all", "session noon", "session night"])
    assert {record.trials for record in records.values()} == {10}
    assert {name: record.judged.size for name, record in records.items()} == dict.fromkeys(
        records, 10
    )
    mixed = [candidate(1), candidate(1, stream="session noon")]
    scored = score(mixed, records, BELIEF, table_rows=0, seed=0, threads=1, should_stop=never)
    assert scored.columns["holdout_trials"].tolist() == [10, 10]


def test_candidates_that_say_the_same_or_share_low_bits_are_one_row():
    lcg = {"generator": "lcg32", "mapping": "mod", "seeding": "raw"}
    mixed = [
        candidate(5, log_ratio=5.0),
        candidate(5, log_ratio=9.0),
        candidate(3, **lcg),
        candidate(3 + 8 * 1001, **lcg, log_ratio=19.0),
        candidate(4, **lcg),
    ]
    rng = np.random.default_rng(0)
    records = {"all": Record(rng.integers(0, 1000, 70), rng.integers(0, 1000, 20), 20)}
    scored = score(mixed, records, BELIEF, table_rows=0, seed=0, threads=1, should_stop=never)
    assert scored.columns["candidate_id"].tolist() == ["s2", "s4", "s5"]
    assert scored.copies == 2


def test_controls_are_survivors_with_another_seed_or_state():
    by_state = candidate(None, seeding=None, offset=None, state=(77,), gap=3)
    made = draw_controls([candidate(1, offset=4), by_state], 30, seed=1)
    assert {(c.gap, c.offset) for c in made} == {(0, 4), (3, None)}
    assert len({(c.seed, c.state) for c in made}) == 30
    assert made == draw_controls([candidate(1, offset=4), by_state], 30, seed=1)


def test_controls_are_as_many_as_make_the_target_vary():
    assert controls_wanted(64, 2000, trials=200, modulus=1000) == 1936
    assert controls_wanted(64, 2000, trials=10, modulus=1000) == pytest.approx(10_000, rel=0.05)
    assert controls_wanted(0, 2000, trials=200, modulus=1000) == 0
    assert controls_wanted(5000, 2000, trials=200, modulus=1000) == 0


@pytest.mark.parametrize(
    ("modulus", "names"),
    [
        (1000, ("mod_8", "mod_125", "digit_1", "digit_2", "digit_3")),
        (69, ("mod_3", "mod_23")),
        (10, ("mod_2", "mod_5")),
        (37, ()),
        (64, ()),
    ],
)
def test_a_draw_has_the_parts_that_its_range_has(modulus, names):
    parts = parts_of(modulus)
    assert parts.names == names
    assert parts.codes.shape == (modulus, len(names))
    assert math.prod(prime_powers(modulus)) == modulus
