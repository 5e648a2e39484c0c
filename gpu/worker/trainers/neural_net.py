"""Train the network; inputs and target are standardised inside the fold and undone after."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gpu.params import NeuralNetParams, Params
from gpu.worker.nn.inputs import InputEncoding, fit_inputs
from gpu.worker.nn.network import build_network
from gpu.worker.nn.serial import predict_network, to_tensor, train_network
from gpu.worker.trainers.base import (
    Columns,
    Fitted,
    FloatMatrix,
    FloatVector,
    Predictor,
    Split,
    finite,
)


class NeuralNetTrainer:
    """A Trainer for the network, with torch."""

    family = "neural_net"

    def __init__(self, device: str, threads: int) -> None:
        torch.set_num_threads(threads)
        # Weights that decay towards zero become denormal numbers, which a CPU computes slowly.
        torch.set_flush_denormal(True)
        self._device = device
        self.device_name = device
        if device.startswith("cuda"):
            self.device_name = f"cuda:0 ({torch.cuda.get_device_name(0)})"

    def fit(self, split: Split, params: Params, *, seed: int, rounds: int | None) -> Fitted:
        """See Trainer.fit."""
        if not isinstance(params, NeuralNetParams):
            raise TypeError(f"neural_net cannot train {type(params).__name__}")
        inputs = fit_inputs(
            split.X_train,
            split.y_train,
            split.columns,
            normalize=params.normalize_features,
            seed=seed,
        )
        encoding = inputs.encoding
        X_val = y_val = None
        if split.X_val is not None and split.y_val is not None:
            X_val = to_tensor(encoding.encode(split.X_val), self._device)
            y_val = to_tensor(encoding.scale_target(split.y_val), self._device)
        trained = train_network(
            to_tensor(inputs.X, self._device),
            to_tensor(encoding.scale_target(split.y_train), self._device),
            X_val,
            y_val,
            params,
            seed=seed,
            epochs=rounds,
        )
        architecture = {
            "hidden_layers": list(params.hidden_layers),
            "dropout": params.dropout,
            "use_leaky_relu": params.use_leaky_relu,
        }
        return _Model(
            trained.network,
            encoding,
            architecture,
            self._device,
            best_round=trained.best_epoch,
            rounds_run=trained.epochs_run,
        )

    def load(self, blob: bytes, preprocessing: dict[str, Any], columns: Columns) -> Predictor:
        """See Trainer.load. Only tensors are read: weights_only refuses any other object."""
        del columns
        encoding = InputEncoding.model_validate(preprocessing["inputs"])
        architecture = preprocessing["architecture"]
        network = build_network(
            encoding.width,
            architecture["hidden_layers"],
            architecture["dropout"],
            use_leaky_relu=architecture["use_leaky_relu"],
        )
        state = torch.load(io.BytesIO(blob), map_location="cpu", weights_only=True)
        network.load_state_dict(state)
        network.to(self._device).eval()
        return _Model(network, encoding, architecture, self._device, best_round=0, rounds_run=0)

    def version(self) -> str:
        """See Trainer.version."""
        return str(torch.__version__)


class _Model:
    def __init__(
        self,
        network: nn.Sequential,
        encoding: InputEncoding,
        architecture: dict[str, Any],
        device: str,
        *,
        best_round: int,
        rounds_run: int,
    ) -> None:
        self._network = network
        self._encoding = encoding
        self._architecture = architecture
        self._device = device
        self.best_round = best_round
        self.rounds_run = rounds_run

    def predict(self, X: FloatMatrix) -> FloatVector:
        standard = predict_network(self._network, to_tensor(self._encoding.encode(X), self._device))
        return finite(self._encoding.unscale_target(standard.cpu().numpy()))

    def save(self, path: Path) -> None:
        state = {name: value.cpu() for name, value in self._network.state_dict().items()}
        # Through memory: a file's own name would become part of its bytes.
        blob = io.BytesIO()
        torch.save(state, blob)
        path.write_bytes(blob.getvalue())

    def preprocessing(self) -> dict[str, Any]:
        return {
            "inputs": self._encoding.model_dump(mode="json"),
            "architecture": self._architecture,
        }
