from __future__ import annotations

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from steps.step5_training.sampler import STARTUP_TRIALS, PastTrial, propose

SPACE = {
    "rate": FloatDistribution(1e-3, 1.0, log=True),
    "depth": IntDistribution(2, 10),
    "kind": CategoricalDistribution(("a", "b")),
}


def search(count, batch, score, seed=3):
    history = []
    while len(history) < count:
        proposals = propose(history, SPACE, seed=seed, count=batch)
        history += [PastTrial(v, (score(v),), complete=True) for v in proposals]
    return [past.values for past in history[:count]]


def score(values):
    return -abs(values["depth"] - 7) - abs(values["rate"] - 0.1) - (values["kind"] == "b")


def test_the_same_history_and_seed_give_the_same_trials():
    assert search(24, 4, score) == search(24, 4, score)


def test_another_seed_gives_other_trials():
    assert search(8, 4, score) != search(8, 4, score, seed=4)


def test_a_batch_does_not_repeat_itself():
    history = search(16, 4, score)
    past = [PastTrial(v, (score(v),), complete=True) for v in history]
    batch = propose(past, SPACE, seed=3, count=4)
    assert len({tuple(v.items()) for v in batch}) == 4


def test_the_search_learns_from_its_history():
    values = search(60, 4, score)
    start = sum(map(score, values[:STARTUP_TRIALS])) / STARTUP_TRIALS
    end = sum(map(score, values[-STARTUP_TRIALS:])) / STARTUP_TRIALS
    assert end > start + 0.5


def test_failed_and_pruned_trials_are_lived_with():
    past = [
        PastTrial(v, (), complete=False) if i % 3 else PastTrial(v, (0.1, 0.2), complete=False)
        for i, v in enumerate(search(16, 4, score))
    ]
    assert len(propose(past, SPACE, seed=1, count=4)) == 4


def test_a_batch_has_its_shared_choices_in_common_and_the_others_apart():
    history = []
    for _ in range(6):
        batch = propose(history, SPACE, seed=3, count=4, shared=("kind",))
        assert len({values["kind"] for values in batch}) == 1
        assert len({values["rate"] for values in batch}) == 4
        history += [PastTrial(v, (score(v),), complete=True) for v in batch]


def test_the_first_batches_take_different_choices():
    wide = {**SPACE, "kind": CategoricalDistribution(("a", "b", "c", "d", "e"))}
    for seed in range(10):
        history, kinds = [], []
        while len(history) < STARTUP_TRIALS:
            batch = propose(history, wide, seed=seed, count=4, shared=("kind",))
            kinds.append(batch[0]["kind"])
            history += [PastTrial(v, (score(v),), complete=True) for v in batch]
        assert len(set(kinds)) == len(kinds)


def test_a_large_batch_shares_choices_four_by_four_and_takes_different_ones():
    wide = {**SPACE, "kind": CategoricalDistribution(("a", "b", "c", "d", "e"))}
    batch = propose([], wide, seed=3, count=10, shared=("kind",))
    kinds = [values["kind"] for values in batch]
    assert [len(set(kinds[a : a + 4])) for a in (0, 4, 8)] == [1, 1, 1]
    assert len({kinds[0], kinds[4], kinds[8]}) == 3
    history = [PastTrial(v, (score(v),), complete=True) for v in batch]
    more = [values["kind"] for values in propose(history, wide, seed=3, count=10, shared=("kind",))]
    assert [len(set(more[a : a + 4])) for a in (0, 4, 8)] == [1, 1, 1]


def test_a_shared_choice_is_learnt_like_any_other():
    kinds = []
    history = []
    for _ in range(20):
        batch = propose(history, SPACE, seed=3, count=4, shared=("kind",))
        kinds.append(batch[0]["kind"])
        history += [PastTrial(v, (score(v) * 3,), complete=True) for v in batch]
    assert kinds[-10:].count("a") >= 7
