"""Dropout's bits follow from the seed, on the host as on a device that draws for itself."""

from __future__ import annotations

import numpy as np
import torch

from gpu.worker.nn import dropout_bits
from gpu.worker.nn.dropout_bits import DevicePools, DropoutBits, kept_share, threshold

# A device of its own is not needed to draw as one does.
DEVICE = torch.device("cpu")


def test_on_a_cpu_numpy_draws_the_bits():
    bits = DropoutBits(9, [64, 32], DEVICE)
    random = np.random.Generator(np.random.SFC64([9, 1]))
    for _ in range(2):
        bits.start_epoch(3)
        pool = random.integers(0, 1 << 64, size=64, dtype=np.uint64).view(np.int16)
        places = random.integers(0, [7, 8], size=(3, 2)) * 32
        for step in range(3):
            for layer, size in enumerate((64, 32)):
                at = places[step, layer]
                window = bits.window(step, layer).numpy()
                np.testing.assert_array_equal(window, pool[at : at + size])


def test_a_device_draws_every_value_equally_often():
    values = DevicePools(5, 1 << 20, DEVICE).draw().double()
    assert (values.min(), values.max()) == (-(1 << 15), (1 << 15) - 1)
    for rate in (0.05, 0.3, 0.9):
        kept = float((values >= threshold(rate)).double().mean())
        assert abs(kept - kept_share(rate)) < 0.003


def test_a_device_draws_the_same_for_equal_seeds_and_anew_for_every_epoch():
    first, second, other = (DevicePools(seed, 4096, DEVICE) for seed in (5, 5, 6))
    before = first.draw().clone()
    assert torch.equal(before, second.draw())
    assert not torch.equal(before, other.draw())
    after = first.draw()
    assert not torch.equal(before, after)
    assert torch.equal(after, second.draw())
    # A pool of a full batch is large: there is never more than one.
    assert first.draw().data_ptr() == after.data_ptr()


def test_layers_on_a_gpu_read_windows_of_the_pool_that_it_drew(monkeypatch):
    def pools(seed, size, device):
        assert device.type == "cuda"
        return DevicePools(seed, size, DEVICE)

    monkeypatch.setattr(dropout_bits, "DevicePools", pools)
    bits = DropoutBits(3, [64], torch.device("cuda"))
    bits.start_epoch(5)
    pool = DevicePools(3, 4 * 64, DEVICE).draw()
    starts = range(0, 4 * 64 - 64 + 1, 32)
    for step in range(5):
        window = bits.window(step, 0)
        assert any(torch.equal(window, pool[at : at + 64]) for at in starts)
