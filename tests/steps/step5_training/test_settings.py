from __future__ import annotations

import json
from pathlib import Path

import pytest
from optuna.distributions import CategoricalDistribution

from gpu.params import FAMILIES
from steps.step5_training.families import SPECS
from steps.step5_training.identity import search_identity
from steps.step5_training.settings import Settings, SettingsError, read_settings

MANIFEST = json.loads(
    (Path(__file__).parents[3] / "agent_manifests" / "reinforcement.json").read_text()
)


def test_the_manifest_declares_every_parameter_with_the_codes_default():
    declared = MANIFEST["parameter_bounds"]
    assert set(declared) == set(Settings.model_fields)
    for name, default in Settings().model_dump(mode="json").items():
        assert declared[name]["default"] == default, name


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("n_rows", [20, 500, 50_000])
def test_every_corner_of_a_search_space_is_a_record_that_the_trainer_takes(family, n_rows):
    spec, settings = SPECS[family], Settings()
    space = spec.search_space(settings, n_rows)
    assert spec.sources
    for end in ("low", "high"):
        values = {
            name: d.choices[0 if end == "low" else -1]
            if isinstance(d, CategoricalDistribution)
            else getattr(d, end)
            for name, d in space.items()
        }
        record = spec.complete(values, settings)
        assert getattr(record, spec.rounds_param) == getattr(settings, spec.rounds_param)


def test_a_fixed_dropout_is_not_searched():
    settings = Settings(dropout=0.25)
    space = SPECS["neural_net"].search_space(settings, 1000)
    assert "dropout" not in space
    values = {"hidden_layers": "64", "learning_rate": 0.01, "weight_decay": 0.0, "batch_size": 64}
    assert SPECS["neural_net"].complete(values, settings).dropout == 0.25


@pytest.mark.parametrize(
    ("upper", "expected"),
    [
        (None, (1e-3, 1e-2)),
        (0.5, (1e-3, 0.5)),
        (1e-2, (1e-3, 1e-2)),
        (3e-3, (3e-4, 3e-3)),
        (1e-6, (1e-7, 1e-6)),
    ],
)
def test_the_networks_learning_rates_end_where_people_want(upper, expected):
    space = SPECS["neural_net"].search_space(Settings(max_learning_rate=upper), 1000)
    rates = space["learning_rate"]
    assert (rates.low, rates.high) == pytest.approx(expected)
    assert rates.log


def test_another_end_of_the_learning_rates_is_another_identity_for_the_network_alone():
    def digest(family, **options):
        settings = Settings(**options)
        space = SPECS[family].search_space(settings, 1000)
        return search_identity(SPECS[family], space, settings, "t", "f").digest()

    assert digest("neural_net") != digest("neural_net", max_learning_rate=3e-3)
    # The other families go on with the trials that they have when a retry lowers it.
    assert digest("lightgbm") == digest("lightgbm", max_learning_rate=3e-3)


def test_limit_and_precision_of_the_network_are_in_every_record_and_in_the_identity():
    values = {"hidden_layers": "64", "learning_rate": 0.01, "weight_decay": 0.0, "batch_size": 64}
    spec, found = SPECS["neural_net"], set()
    for limit, precision in ((0.0, "float32"), (0.5, "float32"), (0.5, "bfloat16")):
        settings = Settings(clip_norm=limit, nn_precision=precision, dropout=0.1)
        record = spec.complete(values, settings)
        assert (record.clip_norm, record.precision) == (limit, precision)
        space = spec.search_space(settings, 1000)
        assert not {"clip_norm", "precision"} & set(space)
        found.add(search_identity(spec, space, settings, "t", "f").digest())
    assert len(found) == 3


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"split": "group"}, "group_column"),
        ({"time_column": "day"}, "split"),
        ({"trials": "many"}, "trials"),
        ({"nonsense": 1}, "nonsense"),
        ({"max_learning_rate": 2.0}, "max_learning_rate"),
        ({"max_learning_rate": 0.0}, "max_learning_rate"),
        ({"clip_norm": -1.0}, "clip_norm"),
        ({"clip_norm": float("nan")}, "clip_norm"),
    ],
)
def test_settings_that_make_no_sense_are_named(params, told):
    with pytest.raises(SettingsError, match=told):
        read_settings(params)
