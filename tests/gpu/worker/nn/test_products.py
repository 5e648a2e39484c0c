"""Networks whose products are rounded to bfloat16 learn as well, and the others are untouched."""

from __future__ import annotations

import pytest
import torch

from gpu.params import complete_params
from gpu.worker.nn.fused import FoldRows, Member, train_stack
from gpu.worker.nn.products import product_of

pytestmark = pytest.mark.usefixtures("one_thread")


def make_fold() -> FoldRows:
    generator = torch.Generator().manual_seed(4)
    X = torch.randn(900, 8, generator=generator)
    y = X[:, 0] * X[:, 1] + X[:, 2] + 0.3 * torch.randn(900, generator=generator)
    y = (y - y.mean()) / y.std()
    return FoldRows(X[:600], y[:600], X[600:], y[600:], 104)


def r2s(fold, precision, **options):
    base = {"hidden_layers": (32, 16), "batch_size": 50, "epochs": 15, **options}
    params = [
        complete_params("neural_net", {**base, "learning_rate": rate, "precision": precision})
        for rate in (3e-3, 1e-2)
    ]
    results = train_stack([fold], [Member(0, each) for each in params], epochs=None)
    spread = fold.y_val.var(correction=0)
    return [1 - float(((r.predictions - fold.y_val) ** 2).mean() / spread) for r in results]


def test_networks_score_alike_in_either_precision():
    fold = make_fold()
    exact, rounded = r2s(fold, "float32"), r2s(fold, "bfloat16")
    assert min(exact) > 0.5
    assert rounded == pytest.approx(exact, abs=0.02)
    assert rounded != exact


def test_operands_are_rounded_and_sums_are_not():
    generator = torch.Generator().manual_seed(5)
    a, rows = torch.randn(2, 3, 400, generator=generator), torch.rand(400, 5, generator=generator)
    b = rows.expand(2, 400, 5)
    exact, rounded = torch.empty(2, 3, 5), torch.empty(2, 3, 5)
    product_of("float32")(a, b, exact)
    product_of("bfloat16")(a, b, rounded)
    assert torch.equal(exact, torch.bmm(a, b))
    expected = torch.bmm(a.bfloat16().double(), b.bfloat16().double())
    torch.testing.assert_close(rounded.double(), expected, rtol=1e-5, atol=1e-4)
    assert (rounded - exact).abs().max() > 1e-2
