from __future__ import annotations

import pytest
import torch
from torch import nn

from gpu.worker.nn.adam import Adam


@pytest.mark.parametrize(
    ("kind", "reference"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)]
)
def test_twenty_steps_equal_those_of_torch_optim(kind, reference):
    torch.manual_seed(0)
    ours, theirs = nn.Linear(5, 3), nn.Linear(5, 3)
    theirs.load_state_dict(ours.state_dict())
    adam = Adam(ours.parameters(), kind=kind, learning_rate=0.01, weight_decay=0.1)
    optimizer = reference(theirs.parameters(), lr=0.01, weight_decay=0.1)
    for _ in range(20):
        X = torch.randn(8, 5)
        ours(X).pow(2).mean().backward()
        adam.step()
        optimizer.zero_grad()
        theirs(X).pow(2).mean().backward()
        optimizer.step()
    torch.testing.assert_close(ours.weight, theirs.weight, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(ours.bias, theirs.bias, rtol=1e-5, atol=1e-6)
