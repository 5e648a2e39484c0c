"""Train networks, many at a time; inputs and target are standardised inside the fold and undone."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from gpu.params import NeuralNetParams, Params
from gpu.protocol.observations import Importance
from gpu.worker.absence import noted
from gpu.worker.nn.encoded import EncodedFold, EncodedFolds
from gpu.worker.nn.fused import TrainedRow, architecture_of
from gpu.worker.nn.gradients import input_gradients
from gpu.worker.nn.health import HealthProbe
from gpu.worker.nn.inputs import InputEncoding
from gpu.worker.nn.network import build_network, predict_network
from gpu.worker.nn.pack import Pack, PackTask
from gpu.worker.nn.stack_layout import Layout
from gpu.worker.trainers.base import (
    Columns,
    Contributions,
    Fitted,
    FloatMatrix,
    FloatVector,
    Losses,
    Predictor,
    Split,
    Watch,
    finite,
)
from gpu.worker.trainers.many import FitTask, TaskEnd


class NeuralNetTrainer:
    """A Trainer for the network, with torch; fit_many trains many networks at a time."""

    family = "neural_net"

    def __init__(self, device: str, threads: int) -> None:
        torch.set_num_threads(threads)
        # Weights that decay towards zero become denormal numbers, which a CPU computes slowly.
        torch.set_flush_denormal(True)
        device, self.device_name = _found(device)
        self._device = device
        if device.startswith("cuda"):
            torch.backends.cuda.matmul.allow_tf32 = True
            # Sums of bfloat16 products stay float32, also where a long sum is divided.
            torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
        self._folds = EncodedFolds(device)
        self._pack = Pack(device, threads)
        # Folds of a trial that train before anyone asks whether to go on with the others.
        self.folds_at_once = 2 if device.startswith("cuda") else threads

    def fit(
        self,
        split: Split,
        params: Params,
        *,
        seed: int,
        rounds: int | None,
        watch: Watch | None = None,
    ) -> Fitted:
        """See Trainer.fit."""
        task = FitTask(split, params, seed, watch)
        ends = list(self.fit_many([task], rounds=rounds, n_concurrent=1))
        if ends[0].error is not None:
            raise ends[0].error
        assert ends[0].fitted is not None  # noqa: S101  # a task without an error has a model
        return ends[0].fitted

    def fit_many(
        self, tasks: Sequence[FitTask], *, rounds: int | None, n_concurrent: int
    ) -> Iterator[TaskEnd]:
        """See BatchTrainer.fit_many."""
        try:
            yield from self._fit_many(tasks, rounds, n_concurrent)
        finally:
            if self._device.startswith("cuda"):
                # The next family's worker on this GPU needs room while this one is idle.
                torch.cuda.empty_cache()

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
        return _Model(network, encoding, architecture, self._device)

    def version(self) -> str:
        """See Trainer.version."""
        return str(torch.__version__)

    def _fit_many(
        self, tasks: Sequence[FitTask], rounds: int | None, n_concurrent: int
    ) -> Iterator[TaskEnd]:
        folds: list[EncodedFold] = []
        packed: list[PackTask] = []
        probes: list[HealthProbe | None] = []
        indices: list[int] = []
        # A split without a key is encoded once for all tasks that hold it.
        known: dict[tuple[int, bool, int], EncodedFold] = {}
        for i, task in enumerate(tasks):
            if not isinstance(task.params, NeuralNetParams):
                raise TypeError(f"neural_net cannot train {type(task.params).__name__}")
            near = (id(task.split), task.params.normalize_features, task.seed)
            try:
                if near not in known:
                    known[near] = self._folds.get(task.split, near[1], task.seed)
            except (ValueError, MemoryError, RuntimeError) as error:
                yield TaskEnd(i, None, error, networks=0, duration_s=0.0)
                continue
            fold = known[near]
            probe: HealthProbe | None = None
            if task.watch is not None and task.watch.health:
                with noted(task.watch.absent, "the network's health"):
                    epochs = rounds or task.params.epochs
                    probe = _probe(fold, task.params, epochs, task.watch.absent)
            folds.append(fold)
            packed.append(PackTask(fold.rows, task.params, probe.after_epoch if probe else None))
            probes.append(probe)
            indices.append(i)
        for end in self._pack.train(packed, epochs=rounds, limit=n_concurrent):
            i = end.index
            fitted = None
            if end.trained is not None:
                fitted = _model(end.trained, folds[i], packed[i], self._device)
            watch = tasks[indices[i]].watch
            if watch is not None:
                self._tell(watch, probes[i], end.trained, folds[i])
            yield TaskEnd(indices[i], fitted, end.error, end.networks, end.duration_s)

    def _tell(
        self,
        watch: Watch,
        probe: HealthProbe | None,
        trained: TrainedRow | None,
        fold: EncodedFold,
    ) -> None:
        """Fill in what was asked for, also of a network that did not get to its end."""
        if probe is not None:
            with noted(watch.absent, "the network's health"):
                watch.network = probe.report()
        if trained is not None:
            with noted(watch.absent, "the loss curve"):
                square = fold.encoding.target_scale**2
                validation = np.array(trained.val_losses) * square if trained.val_losses else None
                watch.losses = Losses(np.array(trained.train_losses) * square, validation)
        if self._device.startswith("cuda"):
            with noted(watch.absent, "the peak of the GPU's memory"):
                watch.peak_vram_mib = torch.cuda.max_memory_reserved() / 2**20


def _found(device: str) -> tuple[str, str]:
    """Where to train, and how people are told."""
    if not device.startswith("cuda"):
        return device, device
    if not torch.cuda.is_available():
        # A torch built for the CPU, or for a newer driver than this machine has.
        return "cpu", "cpu (this torch cannot use the GPU)"
    return device, f"cuda:0 ({torch.cuda.get_device_name(0)})"


def _probe(
    fold: EncodedFold, params: NeuralNetParams, epochs: int, absent: list[str]
) -> HealthProbe:
    architecture = architecture_of(params, fold.rows.X.shape[1])
    return HealthProbe(fold.rows, architecture, fold.encoding.sources, epochs, absent)


def _model(trained: TrainedRow, fold: EncodedFold, task: PackTask, device: str) -> _Model:
    params = task.params
    architecture = {
        "hidden_layers": list(params.hidden_layers),
        "dropout": params.dropout,
        "use_leaky_relu": params.use_leaky_relu,
    }
    network = build_network(
        trained.architecture.width,
        params.hidden_layers,
        params.dropout,
        use_leaky_relu=params.use_leaky_relu,
    ).to(device)
    Layout(trained.architecture).fill(network, trained.row, trained.running)
    model = _Model(network.eval(), fold.encoding, architecture, device)
    model.best_round, model.rounds_run = trained.best_epoch, trained.epochs_run
    if trained.predictions is not None:
        standard = trained.predictions.cpu().numpy()
        model.val_predictions = fold.encoding.unscale_target(standard)
    return model


class _Model:
    """best_round, rounds_run: 0 for a network that was loaded."""

    best_round = 0
    rounds_run = 0
    val_predictions: FloatVector | None = None

    def __init__(
        self,
        network: nn.Sequential,
        encoding: InputEncoding,
        architecture: dict[str, Any],
        device: str,
    ) -> None:
        self._network = network
        self._encoding = encoding
        self._architecture = architecture
        self._device = device

    def predict(self, X: FloatMatrix) -> FloatVector:
        standard = predict_network(self._network, self._inputs(X))
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

    def importances(self, X: FloatMatrix) -> tuple[Importance, ...]:
        """Mean absolute gradient times the standard deviation, by column, summed by feature."""
        inputs = self._inputs(X)
        slopes = input_gradients(self._network, inputs).cpu().double().numpy()
        # An input column may be in any unit: normalising is an option, 0/1 columns never are.
        spreads = inputs.cpu().double().numpy().std(axis=0)
        values = self._by_feature(np.abs(slopes).mean(axis=0) * spreads)
        return (Importance(kind="input_gradient", values=tuple(values.tolist())),)

    def contributions(self, X: FloatMatrix) -> Contributions:
        inputs = self._inputs(X)
        products = (input_gradients(self._network, inputs) * inputs).cpu().double().numpy()
        return Contributions("gradient_x_input", None, self._by_feature(products))

    def _inputs(self, X: FloatMatrix) -> torch.Tensor:
        return torch.from_numpy(self._encoding.encode(X)).to(self._device)

    def _by_feature(self, columns: NDArray[np.float64]) -> NDArray[np.float64]:
        """(..., width) in standard units of the target -> (..., n_features) in the target's."""
        out = np.zeros((*columns.shape[:-1], len(self._encoding.inputs)))
        np.add.at(out.T, np.array(self._encoding.sources), columns.T)
        return out * self._encoding.target_scale
