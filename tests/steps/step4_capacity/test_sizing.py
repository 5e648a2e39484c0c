from __future__ import annotations

import json
from pathlib import Path

import pytest

from agents.bounds import check_value
from agents.manifests import load_manifest
from steps.step4_capacity.sizing import Machine, capacity_for

MANIFESTS = Path(__file__).parents[3] / "agent_manifests"
TWO_CORES = Machine(2, 8000.0)
SIZES = [(0, 0), (30, 4), (59, 15), (60, 15), (499, 15), (2000, 15), (20_000, 40), (10**6, 100)]


def sized(rows=2000, columns=15, machine=TWO_CORES, minutes=None):
    return capacity_for(rows, columns, machine, minutes)


@pytest.mark.parametrize(("rows", "columns"), SIZES)
@pytest.mark.parametrize("machine", [Machine(1, 400.0), TWO_CORES, Machine(64, 256_000.0)])
@pytest.mark.parametrize("minutes", [None, 0.2, 5.0, 10_080.0])
def test_every_value_is_inside_step_5s_bounds(rows, columns, machine, minutes):
    bounds = load_manifest(MANIFESTS / "reinforcement.json").parameter_bounds
    for name, value in sized(rows, columns, machine, minutes).params.items():
        assert check_value(name, bounds[name], value, name) == value


def test_a_table_of_survivors_is_trained_in_under_a_minute_on_two_cores():
    capacity = sized()
    assert capacity.estimated_s < 50
    assert capacity.params["trials"] >= 15
    assert "time_budget_minutes" not in capacity.params


def test_more_time_or_more_cores_buy_more_trials_and_larger_tables_cost_them():
    def trials(**values):
        params = sized(**values).params
        return params["trials"] * params["k_folds"]

    assert trials(machine=Machine(1, 8000.0)) < trials() < trials(machine=Machine(4, 8000.0))
    assert trials(minutes=0.5) < trials(minutes=1.0) < trials(minutes=10.0)
    assert trials(minutes=2.0, rows=200_000) < trials(minutes=2.0)


@pytest.mark.parametrize("minutes", [1.0, 3.0, 30.0])
@pytest.mark.parametrize("rows", [500, 2000, 20_000])
def test_a_budget_that_allows_training_is_kept(rows, minutes):
    capacity = sized(rows, minutes=minutes)
    if capacity.params["trials"] > 5:
        assert capacity.estimated_s <= minutes * 60
    assert capacity.params["time_budget_minutes"] == minutes


def test_a_budget_too_short_for_anything_says_so():
    capacity = sized(20_000, 50, minutes=0.2)
    assert capacity.params["trials"] == 5
    assert any("although over 0.2 minutes" in reason for reason in capacity.reasons)


def test_scarce_memory_counts_as_fewer_cores():
    scarce = sized(machine=Machine(8, 2500.0))
    assert scarce.params == sized(machine=Machine(2, 2500.0)).params
    assert any("2500 MiB of memory feed 2 of 8 cores" in reason for reason in scarce.reasons)
    assert not any("feed" in reason for reason in sized().reasons)


def test_equal_input_gives_an_equal_answer():
    assert sized() == sized()


def test_every_parameter_it_sets_is_one_of_step_5():
    declared = json.loads((MANIFESTS / "reinforcement.json").read_text())["parameter_bounds"]
    for rows, columns in SIZES:
        assert set(sized(rows, columns, minutes=1.0).params) <= set(declared)
