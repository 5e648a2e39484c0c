"""The orders of the moment: the policy over the parameters, seen within a second, never looser."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from steps.policies import LivePolicy
from steps.step5_training import orders as module
from steps.step5_training.comparison import Gpus, Orders
from steps.step5_training.orders import LOOK_EVERY_S, Desk

FAMILIES = ("neural_net", "lightgbm")
USUAL = Orders(persistent=True, tree_workers=3, networks=5)


class World:
    def __init__(self, folder):
        self.folder, self.now = folder, 100.0
        self.path = folder / "watcher_policies.json"
        self.write(use_persistent_workers=True)
        self.live = LivePolicy(self.path)
        self.desk = Desk(self.live, folder, FAMILIES, USUAL, clock=lambda: self.now)

    def write(self, **training):
        self.path.write_text(json.dumps({"training": training}))

    def later(self, seconds=LOOK_EVERY_S):
        self.now += seconds
        return self.desk()


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def test_without_a_word_in_the_policy_the_parameters_count(world):
    assert world.desk() == USUAL


def test_a_change_is_seen_within_a_second_and_not_looked_for_more_often(world):
    world.desk()
    world.write(use_persistent_workers=True, stop_after_trial=True)
    assert world.later(LOOK_EVERY_S / 2).last is None
    assert "stop_after_trial" in world.later(LOOK_EVERY_S / 2).last


@pytest.mark.parametrize(
    ("training", "expected"),
    [
        ({"tree_parallel_workers": 1}, {"tree_workers": 1}),
        ({"n_concurrent_nn": 2}, {"networks": 2}),
        ({"use_gpus": False}, {"gpus": Gpus(use=False)}),
        ({"gpus_off": ["1", "GPU-x"]}, {"gpus": Gpus(off=("1", "GPU-x"))}),
        (
            {"families": {"lightgbm": False, "xgboost": False}},
            {"families_off": {"lightgbm": "switched off by policy"}},
        ),
    ],
)
def test_a_switch_in_the_policy_is_an_order(world, training, expected):
    world.write(use_persistent_workers=True, **training)
    assert world.desk() == replace(USUAL, **expected)
    world.write(use_persistent_workers=True)
    assert world.later() == USUAL


@pytest.mark.parametrize(
    ("policy", "parameter", "counts"),
    [(None, 4, 4), (0, 4, 4), (8, 4, 4), (8, 2, 2), (2, 4, 2), (8, 0, 8), (0, 0, 0), (None, 0, 0)],
)
def test_of_policy_and_parameter_the_smaller_counts_so_a_retry_that_halves_it_has_its_effect(
    world, policy, parameter, counts
):
    world.write(n_concurrent_nn=policy, tree_parallel_workers=policy)
    usual = replace(USUAL, networks=parameter, tree_workers=parameter)
    orders = Desk(world.live, world.folder, FAMILIES, usual)()
    assert (orders.networks, orders.tree_workers) == (counts, counts)


def test_a_limit_of_the_policy_goes_down_and_up_while_the_search_is_on(world):
    seen = []
    for most in (1, 3, 2, 0):
        world.write(tree_parallel_workers=most)
        seen.append(world.later().tree_workers)
    assert seen == [1, 3, 2, USUAL.tree_workers]


def test_persistent_workers_need_both_the_parameter_and_the_policy(world):
    world.write()
    assert not world.desk().persistent
    world.write(use_persistent_workers=True)
    assert world.later().persistent
    one_shot = Desk(world.live, world.folder, FAMILIES, replace(USUAL, persistent=False))
    assert not one_shot().persistent


def test_a_half_saved_file_leaves_the_last_orders_in_force(world):
    world.write(use_persistent_workers=True, stop_after_trial=True)
    assert world.desk().last
    world.path.write_text('{"training": {"stop_after')
    assert world.later().last
    world.path.unlink()
    assert world.later().last


def test_a_halt_stands_above_everything(world):
    world.write(use_persistent_workers=True, stop_after_trial=True)
    (world.folder / "watcher_halt.flag").write_text("")
    assert world.desk().stop == "watcher_halt.flag exists"
    (world.folder / "watcher_halt.flag").unlink()
    world.path.write_text(json.dumps({"halt": True, "halt_reason": "night"}))
    assert world.later().stop == "halt in the policy: night"


def test_the_watchers_word_is_heard_at_once(world, monkeypatch):
    world.desk()
    monkeypatch.setattr(module, "stop_requested", lambda: True)
    assert world.desk().stop == "the watcher asked to stop"


def test_a_look_tells_the_log_what_has_changed_once(world, caplog):
    caplog.set_level("WARNING")
    world.write(use_persistent_workers=True, diagnostics=False)
    assert world.live.look().training.diagnostics is False
    world.live.look()
    (record,) = caplog.records
    assert record.getMessage() == "policy changed: training.diagnostics: True -> False"
