"""A stack's running statistics are BatchNorm's own, and no step waits for the device."""

from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from gpu.worker.nn.dropout_bits import DropoutBits
from gpu.worker.nn.running import RunningMoments
from gpu.worker.nn.stack import Stack
from gpu.worker.nn.stack_adam import PerModel
from gpu.worker.nn.stack_layout import Architecture, Layout
from gpu.worker.nn.stack_space import Group

# On a GPU these read a number back, or bring one from the host.
WAITING = {"_local_scalar_dense", "_to_copy", "lift_fresh", "lift_fresh_copy", "arange", "equal"}


class Seen(TorchDispatchMode):
    """Notes the names of all operations."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.add(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("steps", [1, 31, 32, 33, 70])
def test_running_statistics_are_those_of_batch_norm(steps):
    generator = torch.Generator().manual_seed(2)
    norms = [torch.nn.BatchNorm1d(3), torch.nn.BatchNorm1d(3)]
    moments = RunningMoments(2, [3], 40, torch.device("cpu"))
    for _ in range(steps):
        batches = [torch.randn(40, 3, generator=generator) * 2 + 1 for _ in norms]
        for norm, batch in zip(norms, batches, strict=True):
            norm(batch)
        both = torch.cat(batches, dim=1)
        inverse = (both.var(dim=0, correction=0) + 1e-5).rsqrt()
        moments.note(0, both.mean(dim=0, keepdim=True), inverse.unsqueeze(0))
        moments.end_step()
    for i, norm in enumerate(norms):
        mean, var = moments.of(i)
        torch.testing.assert_close(mean, norm.running_mean, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(var, norm.running_var, rtol=1e-4, atol=1e-5)


def test_no_step_brings_a_number_from_the_host_or_waits_for_one():
    width, rows = 4, 20
    layout = Layout(Architecture(width, (8, 6), 0.01))
    per_model = PerModel("adamw", (1e-3,) * 2, (1e-3,) * 2, (0.2, 0.0), (0.5, 0.0))
    generator = torch.Generator().manual_seed(3)
    initial = torch.randn(2, layout.size, generator=generator)
    stack = Stack(Architecture(width, (8, 6), 0.01), per_model, [Group(0, 2)], initial, rows)
    X, y = torch.randn(rows, width, generator=generator), torch.randn(rows, generator=generator)
    bits = DropoutBits(1, [8 * rows, 6 * rows], torch.device("cpu"))
    bits.start_epoch(40)
    with Seen() as seen:
        for step in range(40):  # the statistics are folded once on the way
            stack.step([X], [y], [bits], step)
    assert "bmm" in seen.names
    assert not seen.names & WAITING
