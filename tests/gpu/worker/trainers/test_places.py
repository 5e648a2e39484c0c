"""What each tree library is asked for on a device, without having the device."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from gpu.params import complete_params
from gpu.worker.trainers import catboost, lightgbm, load_trainer, xgboost
from gpu.worker.trainers.base import Columns, Split


class Asked(Exception):
    """The library has been asked; what for is known."""


@pytest.fixture
def split():
    rng = np.random.default_rng(2)
    X = rng.normal(size=(60, 3)).astype(np.float32)
    y = X[:, 0].astype(np.float64)
    return Split(X[:40], y[:40], X[40:], y[40:], Columns.all_numeric(3))


def asked_of(trainer, split):
    with pytest.raises(Asked) as asked:
        trainer.fit(split, complete_params(trainer.family, {}), seed=1, rounds=None)
    return asked.value.args


@pytest.mark.parametrize(
    ("device", "name", "place", "quantized"),
    [
        ("cpu", "cpu", {}, True),
        ("cuda", "cuda", {"task_type": "GPU", "devices": "0"}, False),
        ("rocm", "cpu (catboost has no ROCm code)", {}, True),
    ],
)
def test_catboost_trains_on_the_first_gpu_it_sees_if_that_is_nvidias(
    split, monkeypatch, device, name, place, quantized
):
    class CatBoost:
        def __init__(self, params):
            self.params = params

        def fit(self, train, eval_set):
            raise Asked(self.params, train.is_quantized())

    monkeypatch.setattr(catboost.cb, "CatBoost", CatBoost)
    trainer = load_trainer("catboost", device, 2)
    params, was_quantized = asked_of(trainer, split)
    assert trainer.device_name == name
    assert {key: params[key] for key in ("task_type", "devices") if key in params} == place
    assert params["thread_count"] == 2
    assert was_quantized == quantized


PLAIN, FOR_NVIDIA = {"USE_CUDA": False}, {"USE_CUDA": True}
FOR_AMD = {"USE_CUDA": True, "USE_HIP": True}


@pytest.mark.parametrize(
    ("device", "build", "told", "name"),
    [
        ("cpu", FOR_NVIDIA, "cpu", "cpu"),
        ("cuda", FOR_NVIDIA, "cuda", "cuda"),
        ("cuda", PLAIN, "cpu", "cpu (this xgboost has no CUDA code)"),
        ("cuda", FOR_AMD, "cpu", "cpu (this xgboost has no CUDA code)"),
        ("rocm", FOR_AMD, "cuda", "rocm"),
        ("rocm", FOR_NVIDIA, "cpu", "cpu (this xgboost has no ROCm code)"),
    ],
)
def test_xgboost_trains_on_the_gpu_that_it_was_built_for(
    split, monkeypatch, device, build, told, name
):
    def train(params, *_, **__):
        raise Asked(params)

    monkeypatch.setattr(xgboost.xgb, "build_info", lambda: build)
    monkeypatch.setattr(xgboost.xgb, "train", train)
    trainer = load_trainer("xgboost", device, 2)
    (params,) = asked_of(trainer, split)
    assert trainer.device_name == name
    assert (params["device"], params["tree_method"], params["nthread"]) == (told, "hist", 2)


@pytest.mark.parametrize(
    ("device", "name"),
    [
        ("cpu", "cpu"),
        ("cuda", "cpu (lightgbm wheels have no CUDA code)"),
        ("rocm", "cpu (lightgbm wheels have no ROCm code)"),
    ],
)
def test_lightgbm_stays_on_the_cpu_and_says_so(split, monkeypatch, device, name):
    def train(params, *_, **__):
        raise Asked(params)

    monkeypatch.setattr(lightgbm.lgb, "train", train)
    trainer = load_trainer("lightgbm", device, 2)
    (params,) = asked_of(trainer, split)
    assert trainer.device_name == name
    assert not {"device", "device_type", "gpu_device_id", "gpu_platform_id"} & params.keys()
    assert params["num_threads"] == 2


@pytest.mark.parametrize(("device", "told"), [("cpu", "cpu"), ("cuda", "cuda"), ("rocm", "cuda")])
def test_torch_is_told_of_amds_gpus_by_the_name_that_it_has_for_them(monkeypatch, device, told):
    module = importlib.import_module("gpu.worker.trainers.neural_net")
    monkeypatch.setattr(module, "NeuralNetTrainer", lambda device, threads: (device, threads))
    assert load_trainer("neural_net", device, 3) == (told, 3)
