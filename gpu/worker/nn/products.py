"""Products and sums of a training step that do not depend on what is computed beside them.

The operands of large products are taken as they are or rounded to bfloat16.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from gpu.params import Precision

# (a, b, out): out = a @ b, float32 (M, n, k) @ (M, k, m) -> (M, n, m).
Product = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], None]


def product_of(precision: Precision) -> Product:
    """How networks of this precision multiply; sums are float32 with either."""
    return _plain if precision == "float32" else _rounded


def row_sums(values: torch.Tensor, out: torch.Tensor) -> None:
    """Sums (M,) of rows (M, n), each the same whichever stand beside it.

    A product with ones is not. torch divides the sum of a single long row among its threads, so
    such a one is summed twice.
    """
    if len(values) == 1:
        out.copy_(torch.sum(values.expand(2, -1), 1)[:1])
    else:
        torch.sum(values, 1, out=out)


def _plain(a: torch.Tensor, b: torch.Tensor, out: torch.Tensor) -> None:
    torch.bmm(a, b, out=out)


def _rounded(a: torch.Tensor, b: torch.Tensor, out: torch.Tensor) -> None:
    a, b = _round(a), _round(b)
    if out.is_cuda:
        torch.bmm(a, b, out_dtype=torch.float32, out=out)
    else:
        # torch has no such kernel for a CPU. A product of two bfloat16 is exact in float32, so
        # this is the same sum, without the gain in speed.
        torch.bmm(a.float(), b.float(), out=out)


def _round(values: torch.Tensor) -> torch.Tensor:
    if values.stride(0) == 0:  # what all networks share is rounded once
        return values[:1].bfloat16().expand_as(values)
    return values.bfloat16()
