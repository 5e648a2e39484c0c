"""One trainer a family; a process loads only the one it serves."""

from __future__ import annotations

import importlib

from gpu.params import Family
from gpu.worker.trainers.base import Trainer

_CLASSES: dict[Family, str] = {
    "neural_net": "NeuralNetTrainer",
    "xgboost": "XGBoostTrainer",
    "lightgbm": "LightGBMTrainer",
    "catboost": "CatBoostTrainer",
}


def load_trainer(family: Family, device: str, threads: int) -> Trainer:
    """Import the family's library and return its trainer. device: "cpu", "cuda" or "rocm".

    Its device_name says where it trains in fact; not every library has code for every device.
    """
    if (family, device) == ("neural_net", "rocm"):
        device = "cuda"  # what torch calls AMD's GPUs too
    module = importlib.import_module(f"gpu.worker.trainers.{family}")
    trainer: Trainer = getattr(module, _CLASSES[family])(device=device, threads=threads)
    return trainer
