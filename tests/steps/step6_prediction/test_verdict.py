from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from steps.forensics.documents import WINDOW_FILE, WindowConfig, read_document
from steps.forensics.mixture import Belief
from steps.prng.simulate_history import PseudoMachine
from steps.step6_prediction.evidence import Evidence, find
from steps.step6_prediction.fairness import Fairness
from steps.step6_prediction.known import Known, likeliest, proven_by_all, said_of_all
from steps.step6_prediction.replay import pool_of, replay
from steps.step6_prediction.report import prediction_report
from steps.step6_prediction.step5 import Step5
from steps.step6_prediction.verdict import predict
from tests.steps.forensics.made_workspace import (
    NOW,
    candidate,
    lay_out,
    made_history,
    true_history,
)

BELIEF = Belief(1000, 0.05)
FAIR = Fairness(7, (), 0.01)


def never():
    return False


def halves(history, train):
    return Known(
        *(
            type(history)(history.draws[part], (), history.sessions[part], history.facts)
            for part in (slice(0, train), slice(train, None))
        )
    )


def replayed(candidates, known, seed=0):
    said = said_of_all(candidates, known, ahead=1)
    return replay(
        candidates,
        said,
        known,
        BELIEF,
        rng=np.random.default_rng(seed),
        should_stop=never,
    )


def predictor_state(seed):
    """The state of a new java.util.Random."""
    return ((seed ^ 0x5DEECE66D) & ((1 << 48) - 1),)


def p_of(tests, name):
    return next(test.p_value for test in tests if test.name == name)


def evidence(tmp_path, candidates, history, *, signal):
    known = halves(history, 150)
    lay_out(tmp_path, history, candidates, train=150)
    window = read_document(tmp_path / WINDOW_FILE, WindowConfig)
    step5 = Step5(signal, "step 5 said so")
    return Evidence(window, known, (), replayed(candidates, known), step5, FAIR)


def test_a_candidate_is_silent_before_what_it_explains_and_at_draws_of_others():
    history, _ = made_history(count=24, sessions=("noon", "night"))
    late = candidate(31337, first=4)
    night = candidate(31337, stream="session night", gap=1, offset=1)
    said = said_of_all([late, night], halves(history, 12), ahead=2)
    assert said.shape == (2, 26)
    assert set(said[0, :4]) == set(said[1, 0:24:2]) == {-1}
    assert said[0, 4:24].tolist() == history.draws[4:].tolist()
    assert said[1, 1:24:2].tolist() == history.draws[1::2].tolist()
    assert said[1, 24] == said[0, 25]


def test_two_machines_that_take_turns_do_not_end_each_other():
    machines = tuple(
        PseudoMachine(generator="java", mapping="next_int", seeding="scramble", seed=seed)
        for seed in (31337, 99)
    )
    history, _ = made_history(
        count=160, machines=machines, mixing="sessions", sessions=("noon", "night")
    )
    both = [candidate(31337, stream="session noon"), candidate(99, stream="session night")]
    seen = replayed(both, halves(history, 100))
    assert next(t for t in seen.tests if t.name == "tight pool").statistic == 60


def test_after_a_new_seed_its_candidate_takes_over():
    history, truth = made_history(count=300, reseed_every=150)
    second = truth.seeds[0][1]
    state = predictor_state(second)
    both = [candidate(31337), candidate(None, seeding=None, offset=None, first=150, state=state)]
    seen = replayed(both, halves(history, 200))
    assert seen.leader.first == 150
    assert next(t for t in seen.tests if t.name == "tight pool").statistic == 100


@pytest.mark.parametrize(("log_hypotheses", "count"), [(120.0, 1), (122.0, 0)])
def test_all_draws_prove_a_candidate_only_if_they_pay_for_the_search(log_hypotheses, count):
    history, _ = made_history(count=20)
    known = halves(history, 10)
    # 18 nats as recorded, and 17 draws more of 6.86 nats: 13.8 above 120.8.
    one = candidate(31337, log_hypotheses=log_hypotheses)
    assert len(proven_by_all([one], said_of_all([one], known), known, 0.05)) == count


def test_the_replay_sees_a_candidate_that_predicts_and_none_where_there_is_none():
    history, _ = made_history(count=80)
    known = halves(history, 60)
    seen = replayed([candidate(seed) for seed in (1, 31337)], known)
    assert seen.leader.seed == 31337
    assert p_of(seen.tests, "tight pool") < 1e-20
    assert seen.log_loss < 1
    noise, _ = true_history(count=80)
    blind = replayed([candidate(1)], halves(noise, 60))
    assert p_of(blind.tests, "log-loss") == pytest.approx(1, abs=0.01)
    assert blind.log_loss == pytest.approx(math.log(1000), abs=0.01)


def test_pools_that_know_nothing_are_hit_as_often_as_chance_has_it():
    history, _ = true_history(count=2000)
    known = halves(history, 0)
    seen = replayed([], known)
    for test, share in zip(seen.tests, (0.02, 0.1, 0.3), strict=False):
        deviation = math.sqrt(2000 * share * (1 - share))
        assert abs(test.statistic - 2000 * share) < 3.5 * deviation, test.name
    assert seen.leader is None


def test_a_pool_holds_different_values_the_likeliest_first():
    probabilities = np.full(50, 0.01)
    probabilities[[7, 3]] = 0.3, 0.2
    pool = pool_of(probabilities, 20, np.random.default_rng(0))
    assert pool[:2] == [7, 3]
    assert len(set(pool)) == 20
    assert pool[2:] != sorted(pool[2:])


def test_the_likeliest_candidates_are_mixed():
    history, _ = true_history(count=20)
    some = [candidate(seed, log_ratio=float(seed)) for seed in range(10)]
    assert [c.seed for c in likeliest(some, halves(history, 10), 3)] == [9, 8, 7]


@pytest.mark.parametrize("signal", [None, "none"])
def test_without_a_signal_from_step_5_unproven_candidates_predict_nothing(tmp_path, signal):
    history, _ = true_history(count=200)
    case = evidence(tmp_path, [candidate(seed) for seed in range(20)], history, signal=signal)
    assert find(case) == "chance"


def test_a_signal_that_the_replay_does_not_confirm_is_chance(tmp_path):
    history, _ = true_history(count=200)
    case = evidence(tmp_path, [candidate(seed) for seed in range(20)], history, signal="strong")
    assert find(case) == "chance"


def test_a_signal_that_the_replay_confirms_gives_pools_and_asks_for_more_draws(tmp_path):
    history, _ = made_history(count=200)
    hidden = candidate(31337, log_hypotheses=40.0)
    case = evidence(tmp_path, [candidate(1), hidden], history, signal="weak")
    assert find(case) == "better than chance"
    said = predict(case, "r", NOW, next_count=5, rng=np.random.default_rng(0))
    assert said.verdict == "insufficient data"
    assert said.next_draws == ()
    assert len(said.pools["tight"]) == 20
    assert said.draws_wanted > 200
    assert "Pools" in prediction_report(said)


def test_a_cycle_that_step_1_saw_is_told_and_is_no_chance(tmp_path):
    history, _ = true_history(count=200)
    case = evidence(tmp_path, [candidate(1)], history, signal=None)
    for cycle, told in ((12, "equal the draw 12 draws before."), (1, "equal the draw before.")):
        window = case.window.model_copy(update={"cycle": cycle})
        seen = dataclasses.replace(case, window=window)
        said = predict(seen, "r", NOW, next_count=5, rng=np.random.default_rng(0))
        assert said.verdict == "not uniform"
        assert told in said.headline


def test_too_few_draws_go_before_chance(tmp_path):
    history, _ = true_history(count=200)
    case = evidence(tmp_path, [], history, signal=None)
    few = case.window.model_copy(update={"verdict": "insufficient data"})
    assert find(dataclasses.replace(case, window=few)) == "too few draws"
