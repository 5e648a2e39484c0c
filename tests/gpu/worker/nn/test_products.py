"""What is computed of one network depends on no other, nor on threads or places in memory."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import product

import pytest
import torch

from gpu.worker.nn.products import product_of, row_sums

MODELS, UNITS, INPUTS = 5, 7, 6


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def made(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(shape[-1]))


def shares():
    """(first, stop) of one network, two, and all."""
    return [(i, i + k) for k in (1, 2, MODELS) for i in range(MODELS - k + 1)]


@pytest.mark.parametrize("rows", [33, 64, 601, 40_001])
def test_a_sum_is_that_of_its_row_in_any_company(threads, rows):
    values = made(MODELS, rows)
    threads(1)
    expected = torch.empty(MODELS)
    row_sums(values, expected)
    torch.testing.assert_close(expected, values.double().sum(1).float())
    for count, (first, stop) in product((1, 2), shares()):
        threads(count)
        own = torch.empty(stop - first)
        row_sums(values[first:stop].clone(), own)
        assert torch.equal(own, expected[first:stop])


@pytest.mark.parametrize("rows", [33, 64, 601, 8_001])
def test_a_product_is_that_of_its_matrices_in_any_company(threads, rows):
    """Odd sizes: in a stack most matrices then begin anywhere."""
    multiply = product_of("float32")
    weights, hidden, slopes = (
        made(MODELS, UNITS, INPUTS),
        made(MODELS, INPUTS, rows),
        made(MODELS, UNITS, rows),
    )
    pairs = [(weights, hidden), (slopes, hidden.mT), (weights.mT, slopes), (slopes, slopes.mT)]
    for a, b in pairs:
        threads(1)
        expected = torch.empty(MODELS, a.shape[1], b.shape[2])
        multiply(a, b, expected)
        for count, (first, stop) in product((1, 2), shares()):
            threads(count)
            own = torch.empty(stop - first, *expected.shape[1:])
            multiply(a[first:stop].clone(), b[first:stop].clone(), own)
            assert torch.equal(own, expected[first:stop])


def test_what_a_person_has_set_for_mkl_is_kept():
    say = "import os, gpu.worker.nn; print(os.environ['MKL_CBWR'])"
    said = subprocess.run(
        [sys.executable, "-c", say],
        env={**os.environ, "MKL_CBWR": "COMPATIBLE"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == "COMPATIBLE\n"
