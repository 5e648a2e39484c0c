"""What the network's trainer does about the device that it was started for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gpu.params import complete_params
from gpu.worker.trainers import load_trainer
from gpu.worker.trainers.base import Columns, Split
from gpu.worker.trainers.many import FitTask

PARAMS = complete_params("neural_net", {"hidden_layers": (8,), "epochs": 2, "batch_size": 32})


@pytest.fixture(autouse=True)
def _settings_as_they_were():
    threads, tf32 = torch.get_num_threads(), torch.backends.cuda.matmul.allow_tf32
    yield
    torch.set_num_threads(threads)
    torch.set_flush_denormal(False)
    torch.backends.cuda.matmul.allow_tf32 = tf32


@pytest.fixture
def gpu(monkeypatch):
    """A GPU that torch can use, as far as it says; how often the cached memory was given back."""
    given = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "H200")
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: given.append(True))
    return given


def make_split() -> Split:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 3)).astype(np.float32)
    y = X[:, 0].astype(np.float64)
    return Split(X[:80], y[:80], X[80:], y[80:], Columns(("numeric",) * 3, (0, 0, 0)))


def test_a_torch_that_cannot_use_the_gpu_trains_on_the_cpu_and_says_so(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    trainer = load_trainer("neural_net", "cuda", 1)
    assert trainer.device_name == "cpu (this torch cannot use the GPU)"
    split = make_split()
    fitted = trainer.fit(split, PARAMS, seed=1, rounds=None)
    assert np.isfinite(fitted.predict(split.X_val)).all()


def test_a_gpu_is_named(gpu):
    assert load_trainer("neural_net", "cuda", 1).device_name == "cuda:0 (H200)"


def test_after_a_batch_the_gpus_cached_memory_is_given_back(gpu):
    trainer = load_trainer("neural_net", "cuda", 1)
    assert list(trainer.fit_many([], rounds=None, n_concurrent=0)) == []
    assert len(gpu) == 1
    wrong = FitTask(make_split(), complete_params("xgboost", {}), 1, None)
    with pytest.raises(TypeError):
        list(trainer.fit_many([wrong], rounds=None, n_concurrent=0))
    assert len(gpu) == 2


def test_on_a_cpu_there_is_nothing_to_give_back(gpu):
    load_trainer("neural_net", "cpu", 1).fit(make_split(), PARAMS, seed=1, rounds=None)
    assert gpu == []
