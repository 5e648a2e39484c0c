"""Train M networks of one architecture as one computation, forward and backward by hand.

Activations are stored feature by feature, (M, units, rows): a product is then batched over the
networks, and BatchNorm of a training batch is a GroupNorm whose groups are single units, for which
torch has one kernel forward and one backward that touch each row while it is in cache. Backward
follows the chain rule of Linear, BatchNorm1d (Ioffe and Szegedy 2015), LeakyReLU and Dropout; a
test holds it equal to autograd.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from gpu.params import Precision
from gpu.worker.nn.dropout_bits import DropoutBits, kept_share, threshold
from gpu.worker.nn.products import product_of, row_sums
from gpu.worker.nn.running import BN_EPSILON, RunningMoments
from gpu.worker.nn.stack_adam import PerModel, StackAdam
from gpu.worker.nn.stack_layout import Architecture, Layout, Views
from gpu.worker.nn.stack_space import Group, LayerSpace

# Validation rows that pass through the layers together: their activations stay in cache.
_EVAL_ROWS = 1024


_NORM_BACKWARD = torch.ops.aten.native_group_norm_backward.default
_ACTIVATION_BACKWARD = torch.ops.aten.leaky_relu_backward.grad_input
_ALL_THREE = [True, True, True]


class Stack:
    """M networks with their optimizer state and workspaces, on one device.

    initial: float32 (M, size), rows of a Layout. rows: of every batch. groups: which networks share
    their batches, in order, covering all M. precision: of hidden layers' products in training.
    """

    def __init__(
        self,
        architecture: Architecture,
        per_model: PerModel,
        groups: Sequence[Group],
        initial: torch.Tensor,
        rows: int,
        precision: Precision = "float32",
    ) -> None:
        self.architecture = architecture
        self.layout = Layout(architecture)
        self.values = initial.clone()
        self._rows = rows
        self._product = product_of(precision)
        self._adam = StackAdam(self.values, per_model)
        self._dropout = per_model.dropout
        device, size, units = initial.device, len(initial), architecture.hidden_layers
        self._running = RunningMoments(size, units, rows, device)
        self._products = [torch.empty(size * n * rows, device=device) for n in units]
        self._slopes = [torch.empty(size * n * rows, device=device) for n in units]
        dropped = any(rate > 0 for rate in self._dropout)
        self._masks = [torch.empty(size * n * rows, device=device) for n in units if dropped]
        self.drops = dropped
        self._moments: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._layers: list[LayerSpace] = []
        self._bind(groups)

    def __len__(self) -> int:
        return len(self.values)

    def step(
        self,
        inputs: Sequence[torch.Tensor],
        targets: Sequence[torch.Tensor],
        bits: Sequence[DropoutBits],
        at: int,
    ) -> None:
        """One batch: inputs (rows, width) and targets (rows,) of each group; bits of step `at`.

        The squared errors are added to self.squared_error.
        """
        hidden = self._forward(inputs, bits, at)
        ends = self._ends
        torch.bmm(self._views.end_weight, hidden[-1], out=ends)
        ends.add_(self._end_bias)
        for part, target in zip(self._end_parts, targets, strict=True):
            part.sub_(target)
        self._squared.baddbmm_(ends, self._ends_turned)
        ends.mul_(2 / self._rows)
        self._backward(inputs, hidden)
        self._adam.step()

    def predict(self, group: Group, X: torch.Tensor, out: torch.Tensor) -> None:
        """X: float32 (n, width) -> out: float32 (models of the group, n); running statistics."""
        self._running.fold()
        folded = self._fold_layers(group)
        models = group.stop - group.start
        slope = self.architecture.slope
        for start in range(0, len(X), _EVAL_ROWS):
            part = X[start : start + _EVAL_ROWS]
            values = part.T.expand(models, *part.T.shape)
            for weight, shift in folded[:-1]:
                values = torch.nn.functional.leaky_relu_(
                    torch.baddbmm(shift, weight, values), slope
                )
            weight, shift = folded[-1]
            out[:, start : start + len(part)] = torch.baddbmm(shift, weight, values).squeeze(1)

    def running(self, model: int) -> list[torch.Tensor]:
        """Running mean and variance of each layer of a network, copied."""
        return self._running.of(model)

    def keep(self, models: Sequence[int], groups: Sequence[Group]) -> None:
        """Let all networks but these leave; groups: as in the constructor, of those that stay."""
        chosen = torch.tensor(models, device=self.values.device)
        self.values = self.values[chosen]
        self._running.keep(chosen)
        self._dropout = tuple(self._dropout[i] for i in models)
        self._adam.keep(self.values, chosen)
        self._bind(groups)

    def _bind(self, groups: Sequence[Group]) -> None:
        """Make the views of weights and workspaces that a step uses."""
        self.groups = tuple(groups)
        size, device = len(self.values), self.values.device
        units = self.architecture.hidden_layers
        shapes = [(size, n, self._rows) for n in units]
        self._views: Views = self.layout.views(self.values)
        self._slope_views = self.layout.views(self._adam.gradients)
        self._z = [
            flat[: _cells(s)].view(s) for flat, s in zip(self._products, shapes, strict=True)
        ]
        self._dh = [flat[: _cells(s)].view(s) for flat, s in zip(self._slopes, shapes, strict=True)]
        self._keep_masks: list[torch.Tensor] = []
        if self._masks:
            pairs = zip(self._masks, shapes, strict=True)
            self._keep_masks = [flat[: _cells(s)].view(s) for flat, s in pairs]
        limits = [threshold(rate) for rate in self._dropout]
        self._limits = torch.tensor(limits, dtype=torch.int16, device=device).view(-1, 1, 1)
        # LeakyReLU(c y) = c LeakyReLU(y): dropout's factor 1 / (1 - rate) rides on gamma and beta.
        factors = [1 / kept_share(rate) for rate in self._dropout]
        self._factors = torch.tensor(factors, device=device).view(-1, 1)
        self._ends = torch.empty(size, 1, self._rows, device=device)
        self._squared = torch.zeros(size, 1, 1, device=device)
        self.squared_error = self._squared.view(size)
        # A step of a small network is mostly calls: every view it needs is made here, once.
        self._end_bias = self._views.end_bias.unsqueeze(2)
        self._ends_flat, self._ends_turned = self._ends.squeeze(1), self._ends.mT
        self._end_weight_turned = self._views.end_weight.mT
        self._end_parts = [self._ends[group.start : group.stop] for group in self.groups]
        self._end_bias_slopes = self._slope_views.end_bias.squeeze(1)
        self._layers = [self._layer(i) for i in range(len(units))]

    def _layer(self, i: int) -> LayerSpace:
        views, slopes = self._views.hidden[i], self._slope_views.hidden[i]
        gamma, beta = torch.empty(2, *views.gamma.shape, device=self.values.device).unbind(0)
        parts = [slice(group.start, group.stop) for group in self.groups]
        z, size = self._z[i], views.gamma.shape
        return LayerSpace(
            views=views,
            slopes=slopes,
            z=z,
            dh=self._dh[i],
            gamma=gamma,
            beta=beta,
            flat_gamma=gamma.reshape(-1),
            flat_beta=beta.reshape(-1),
            channels=size[0] * size[1],
            size=tuple(size),
            weight_parts=[views.weight[part] for part in parts],
            slope_parts=[slopes.weight[part] for part in parts],
            z_parts=[z[part] for part in parts],
            mask=self._keep_masks[i] if self._keep_masks else None,
            mask_parts=[self._keep_masks[i][part] for part in parts] if self._keep_masks else [],
            limits=[self._limits[part] for part in parts],
            window=(1, size[1], self._rows),
            turned_weight=views.weight.mT,
            parts=parts,
        )

    def _forward(
        self, inputs: Sequence[torch.Tensor], bits: Sequence[DropoutBits], at: int
    ) -> list[torch.Tensor]:
        hidden: list[torch.Tensor] = []
        self._moments = []
        for i, layer in enumerate(self._layers):
            if i == 0:
                # One minibatch serves all networks of a fold.
                for weight, z, rows in zip(layer.weight_parts, layer.z_parts, inputs, strict=True):
                    turned = rows.T
                    self._product(weight, turned.expand(len(weight), *turned.shape), z)
            else:
                self._product(layer.views.weight, hidden[-1], layer.z)
            torch.mul(layer.views.gamma, self._factors, out=layer.gamma)
            torch.mul(layer.views.beta, self._factors, out=layer.beta)
            h, mean, inverse = torch.native_group_norm(
                layer.z,
                layer.flat_gamma,
                layer.flat_beta,
                1,
                layer.channels,
                self._rows,
                layer.channels,
                BN_EPSILON,
            )
            self._moments.append((mean, inverse))
            self._running.note(i, mean, inverse)
            h = torch.nn.functional.leaky_relu_(h, self.architecture.slope)
            if layer.mask is not None:
                for limit, mask, source in zip(layer.limits, layer.mask_parts, bits, strict=True):
                    torch.ge(source.window(at, i).view(layer.window), limit, out=mask)
                h.mul_(layer.mask)
            hidden.append(h)
        self._running.end_step()
        return hidden

    def _backward(self, inputs: Sequence[torch.Tensor], hidden: list[torch.Tensor]) -> None:
        slope = self.architecture.slope
        torch.bmm(self._ends, hidden[-1].mT, out=self._slope_views.end_weight)
        row_sums(self._ends_flat, self._end_bias_slopes)
        torch.bmm(self._end_weight_turned, self._ends, out=self._layers[-1].dh)
        for i in range(len(hidden) - 1, -1, -1):
            layer = self._layers[i]
            dh = layer.dh
            if layer.mask is not None:
                dh.mul_(layer.mask)
            _ACTIVATION_BACKWARD(dh, hidden[i], slope, True, grad_input=dh)
            mean, inverse = self._moments[i]
            dz, dgamma, dbeta = _NORM_BACKWARD(
                dh,
                layer.z,
                mean,
                inverse,
                layer.flat_gamma,
                1,
                layer.channels,
                self._rows,
                layer.channels,
                _ALL_THREE,
            )
            torch.mul(dgamma.view(layer.size), self._factors, out=layer.slopes.gamma)
            torch.mul(dbeta.view(layer.size), self._factors, out=layer.slopes.beta)
            if i > 0:
                self._product(dz, hidden[i - 1].mT, layer.slopes.weight)
                self._product(layer.turned_weight, dz, self._layers[i - 1].dh)
                continue
            for part, slopes, rows in zip(layer.parts, layer.slope_parts, inputs, strict=True):
                self._product(dz[part], rows.expand(len(slopes), *rows.shape), slopes)

    def _fold_layers(self, group: Group) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Each layer with its BatchNorm folded in: weight (m, out, in) and shift (m, out, 1)."""
        part = slice(group.start, group.stop)
        folded = []
        for layer, (mean, var) in zip(self._views.hidden, self._running.values, strict=True):
            scale = layer.gamma[part] / torch.sqrt(var[part] + BN_EPSILON)
            shift = layer.beta[part] - mean[part] * scale
            folded.append((layer.weight[part] * scale.unsqueeze(2), shift.unsqueeze(2)))
        ends = self._views
        folded.append((ends.end_weight[part], ends.end_bias[part].unsqueeze(2)))
        return folded


def _cells(shape: tuple[int, int, int]) -> int:
    return shape[0] * shape[1] * shape[2]
