"""What the tests of the network share."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture
def one_thread():
    """torch computes on one thread, as in a worker on a CPU slot."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
