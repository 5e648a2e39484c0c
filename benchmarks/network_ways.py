"""Plain ways to train the networks of a search, each in a process of its own.

`python -m benchmarks.network_ways WAY FOLDER`: FOLDER holds rows.npz and task.json as
benchmarks.network writes them; prints one line of JSON: {"wall_s": ..., "r2": {trial: [a fold]}}.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

BN_MOMENTUM = 0.1


def main() -> int:
    """Run one way."""
    way, folder = sys.argv[1], Path(sys.argv[2])
    task = json.loads((folder / "task.json").read_text(encoding="utf-8"))
    torch.set_num_threads(task["threads"])
    rows = np.load(folder / "rows.npz")
    folds = [_Fold(rows, k, task["seed"]) for k in range(task["folds"])]
    started = time.perf_counter()
    if way == "one_fold":
        k, trial = task["only"]
        scores = {str(trial): [_serial(folds[k], task["trials"][trial])]}
    elif way == "serial":
        scores = {str(i): [_serial(f, t) for f in folds] for i, t in enumerate(task["trials"])}
    else:
        scores = {str(i): _vmap(folds, t) for i, t in enumerate(task["trials"])}
    print(json.dumps({"wall_s": time.perf_counter() - started, "r2": scores}))
    return 0


class _Fold:
    """A fold's rows, standardised by its training rows; y in standard units."""

    def __init__(self, rows: Any, k: int, seed: int) -> None:
        X, y = rows["X"], rows["y"]
        held = rows["fold"] == k
        train, val = X[~held].astype(np.float64), X[held].astype(np.float64)
        mean, scale = train.mean(0), train.std(0)
        target, spread = y[~held].mean(), y[~held].std()
        self.X = torch.from_numpy(((train - mean) / scale).clip(-10, 10).astype(np.float32))
        self.X_val = torch.from_numpy(((val - mean) / scale).clip(-10, 10).astype(np.float32))
        self.y = torch.from_numpy(((y[~held] - target) / spread).astype(np.float32))
        self.y_val = torch.from_numpy(((y[held] - target) / spread).astype(np.float32))
        self.seed = seed + k

    def batches(self, size: int, order: torch.Generator) -> torch.Tensor:
        """Row numbers (batches, rows) of one epoch, as the product deals them."""
        count = max(1, round(len(self.X) / size))
        rows = len(self.X) // count
        return torch.randperm(len(self.X), generator=order)[: count * rows].view(count, rows)

    def r2(self, predictions: torch.Tensor) -> float:
        """R2 on the validation rows; it is the same in standard units."""
        y = self.y_val.double()
        residual = (predictions.double() - y).square().sum()
        return 1.0 - float(residual / (y - y.mean()).square().sum())


def _network(params: dict[str, Any], width: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for units in params["hidden_layers"]:
        layers += [nn.Linear(width, units, bias=False), nn.BatchNorm1d(units), nn.LeakyReLU(0.01)]
        layers += [nn.Dropout(params["dropout"])] if params["dropout"] > 0 else []
        width = units
    return nn.Sequential(*layers, nn.Linear(width, 1))


def _serial(fold: _Fold, params: dict[str, Any]) -> float:
    """The loop of the tutorials: torch.nn, torch.optim, a validation pass after each epoch."""
    torch.manual_seed(fold.seed)
    network = _network(params, fold.X.shape[1])
    kind = torch.optim.AdamW if params["optimizer"] == "adamw" else torch.optim.Adam
    optimizer = kind(
        network.parameters(), lr=params["learning_rate"], weight_decay=params["weight_decay"]
    )
    order = torch.Generator().manual_seed(fold.seed)
    best, r2 = float("inf"), 0.0
    for _ in range(params["epochs"]):
        network.train()
        for batch in fold.batches(params["batch_size"], order):
            optimizer.zero_grad()
            nn.functional.mse_loss(network(fold.X[batch]).squeeze(1), fold.y[batch]).backward()
            optimizer.step()
        network.eval()
        with torch.no_grad():
            predictions = network(fold.X_val).squeeze(1)
        loss = nn.functional.mse_loss(predictions, fold.y_val).item()
        if loss < best:
            best, r2 = loss, fold.r2(predictions)
    return r2


def _vmap(folds: list[_Fold], params: dict[str, Any]) -> list[float]:
    """All folds of a trial as one model ensemble by torch.func, as its tutorial shows it.

    BatchNorm is written out, because vmap cannot update running statistics in place; Adam is
    written out, because its state is stacked.
    """
    networks = []
    for fold in folds:
        torch.manual_seed(fold.seed)
        networks.append(_network(params, fold.X.shape[1]))
    weights = [n for n in networks[0].state_dict() if "running" not in n and "batches" not in n]
    stacked = {
        n: torch.stack([dict(m.named_parameters())[n].detach() for m in networks]) for n in weights
    }
    means = {n: torch.zeros_like(v) for n, v in stacked.items()}
    squares = {n: torch.zeros_like(v) for n, v in stacked.items()}
    norms = [i for i, layer in enumerate(networks[0]) if isinstance(layer, nn.BatchNorm1d)]
    running = {
        i: (torch.zeros(len(folds), u), torch.ones(len(folds), u))
        for i, u in zip(norms, params["hidden_layers"], strict=True)
    }
    ends = len(networks[0]) - 1

    def forward(w: dict[str, torch.Tensor], X: torch.Tensor, y: torch.Tensor) -> Any:
        seen = {}
        for i in norms:
            X = X @ w[f"{i - 1}.weight"].T
            var, mean = torch.var_mean(X, 0, correction=0)
            seen[i] = (mean, var)
            X = (X - mean) * torch.rsqrt(var + 1e-5) * w[f"{i}.weight"] + w[f"{i}.bias"]
            X = nn.functional.leaky_relu(X, 0.01)
            X = nn.functional.dropout(X, params["dropout"]) if params["dropout"] > 0 else X
        end = X @ w[f"{ends}.weight"].T + w[f"{ends}.bias"]
        return nn.functional.mse_loss(end.squeeze(1), y), seen

    def predict(w: dict[str, torch.Tensor], stats: Any, X: torch.Tensor) -> torch.Tensor:
        for i in norms:
            X = X @ w[f"{i - 1}.weight"].T
            mean, var = stats[i]
            X = (X - mean) * torch.rsqrt(var + 1e-5) * w[f"{i}.weight"] + w[f"{i}.bias"]
            X = nn.functional.leaky_relu(X, 0.01)
        return (X @ w[f"{ends}.weight"].T + w[f"{ends}.bias"]).squeeze(1)

    step_of = torch.func.vmap(torch.func.grad(forward, has_aux=True), randomness="different")
    predict_of = torch.func.vmap(predict)
    orders = [torch.Generator().manual_seed(fold.seed) for fold in folds]
    kept = min(len(fold.X_val) for fold in folds)
    X_val = torch.stack([fold.X_val[:kept] for fold in folds])
    rate, decay, step = params["learning_rate"], params["weight_decay"], 0
    best, r2 = [float("inf")] * len(folds), [0.0] * len(folds)
    for _ in range(params["epochs"]):
        dealt = [f.batches(params["batch_size"], o) for f, o in zip(folds, orders, strict=True)]
        for at in range(min(len(batches) for batches in dealt)):
            step += 1
            rows = min(batches.shape[1] for batches in dealt)
            X = torch.stack([f.X[b[at][:rows]] for f, b in zip(folds, dealt, strict=True)])
            y = torch.stack([f.y[b[at][:rows]] for f, b in zip(folds, dealt, strict=True)])
            gradients, seen = step_of(stacked, X, y)
            for i, (mean, var) in seen.items():
                running[i][0].lerp_(mean, BN_MOMENTUM)
                running[i][1].lerp_(var * (rows / (rows - 1)), BN_MOMENTUM)
            for n, value in stacked.items():
                if params["optimizer"] == "adamw":
                    value.mul_(1 - rate * decay)
                    gradient = gradients[n]
                else:
                    gradient = gradients[n] + decay * value
                means[n].lerp_(gradient, 0.1)
                squares[n].mul_(0.999).addcmul_(gradient, gradient, value=0.001)
                spread = (squares[n] / (1 - 0.999**step)).sqrt_().add_(1e-8)
                value.addcdiv_(means[n], spread, value=-rate / (1 - 0.9**step))
        for k, predictions in enumerate(predict_of(stacked, running, X_val)):
            loss = nn.functional.mse_loss(predictions, folds[k].y_val[:kept]).item()
            if loss < best[k]:
                best[k] = loss
                y = folds[k].y_val[:kept].double()
                residual = (predictions.double() - y).square().sum()
                r2[k] = 1.0 - float(residual / (y - y.mean()).square().sum())
    return r2


if __name__ == "__main__":
    sys.exit(main())
