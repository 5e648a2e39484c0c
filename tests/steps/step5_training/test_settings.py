from __future__ import annotations

import json
from pathlib import Path

import pytest
from optuna.distributions import CategoricalDistribution

from gpu.params import FAMILIES
from steps.step5_training.families import SPECS
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
    ("params", "told"),
    [
        ({"split": "group"}, "group_column"),
        ({"time_column": "day"}, "split"),
        ({"trials": "many"}, "trials"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
def test_settings_that_make_no_sense_are_named(params, told):
    with pytest.raises(SettingsError, match=told):
        read_settings(params)
