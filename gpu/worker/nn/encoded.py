"""Keep encoded folds on the device between the jobs of a worker: they depend on the fold only."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from gpu.worker.nn.fused import FoldRows
from gpu.worker.nn.inputs import InputEncoding, fit_inputs
from gpu.worker.trainers.base import Split

KEPT_FOLDS = 20
KEPT_BYTES = 512 << 20


@dataclass(frozen=True, slots=True)
class EncodedFold:
    """A fold as networks see it, with the encoding that made it so."""

    rows: FoldRows
    encoding: InputEncoding


class EncodedFolds:
    """Encoded folds by table folder, fold, normalisation and seed; the longest unused go first."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._kept: OrderedDict[tuple[tuple[str, int], bool, int], EncodedFold] = OrderedDict()

    def get(self, split: Split, normalize: bool, seed: int) -> EncodedFold:
        """The fold, encoded now or earlier. A split without a key is not kept."""
        if split.key is None:
            return self._encode(split, normalize, seed)
        key = (split.key, normalize, seed)
        fold = self._kept.pop(key, None) or self._encode(split, normalize, seed)
        self._kept[key] = fold
        while len(self._kept) > 1 and (
            len(self._kept) > KEPT_FOLDS
            or sum(_bytes(kept.rows) for kept in self._kept.values()) > KEPT_BYTES
        ):
            self._kept.popitem(last=False)
        return fold

    def _encode(self, split: Split, normalize: bool, seed: int) -> EncodedFold:
        inputs = fit_inputs(
            split.X_train, split.y_train, split.columns, normalize=normalize, seed=seed
        )
        encoding = inputs.encoding
        X_val = y_val = None
        if split.X_val is not None and split.y_val is not None:
            X_val = self._tensor(encoding.encode(split.X_val))
            y_val = self._tensor(encoding.scale_target(split.y_val))
        rows = FoldRows(
            self._tensor(inputs.X),
            self._tensor(encoding.scale_target(split.y_train)),
            X_val,
            y_val,
            seed,
        )
        return EncodedFold(rows, encoding)

    def _tensor(self, values: NDArray[np.float32]) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(self._device)


def _bytes(rows: FoldRows) -> int:
    tensors = (rows.X, rows.y, rows.X_val, rows.y_val)
    return sum(tensor.nbytes for tensor in tensors if tensor is not None)
