"""Correct p-values for all the tests that were made: Holm's step-down method."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from steps.forensics.documents import HypothesisTest


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Corrected p-values in the same order (Holm 1979), each at most 1.

    Rejecting what is at most alpha makes any false rejection as likely as alpha at most, however
    the tests depend on each other. Raises ValueError for a p-value outside 0..1 or NaN.
    """
    p = np.asarray(p_values, np.float64)
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"p-values must be 0..1, got {p_values}")
    order = np.argsort(p, kind="stable")
    stepped = p[order] * np.arange(p.size, 0, -1)
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(np.maximum.accumulate(stepped), 1.0)
    return tuple(corrected.tolist())


def corrected(tests: Sequence[HypothesisTest]) -> tuple[HypothesisTest, ...]:
    """The tests of one document, each with its p_corrected for all of them."""
    values = holm([test.p_value for test in tests])
    return tuple(
        test.model_copy(update={"p_corrected": value})
        for test, value in zip(tests, values, strict=True)
    )
