from __future__ import annotations

import numba
import numpy as np
import pytest

from steps.prng.recovery import compiled as module


def test_without_a_folder_for_the_cache_a_kernel_is_compiled_all_the_same(monkeypatch):
    def nowhere_to_write(*function, **options):
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return real(*function, **options)

    real = numba.njit
    monkeypatch.setattr(numba, "njit", nowhere_to_write)
    double = module.compiled(lambda number: number * 2)
    assert double(21) == 42


@pytest.mark.parametrize(
    ("operation", "left", "right", "expected"),
    [
        (module.add32, 2**32 - 1, 3, 2),
        (module.subtract32, 1, 3, 2**32 - 2),
        (module.multiply32, 3_000_000_019, 2_500_000_001, 3_000_000_019 * 2_500_000_001 % 2**32),
        (module.left32, 0xF0000001, 4, 0x10),
        (module.right32, 0xF0000001, 4, 0x0F000000),
        (module.xor32, 12, 10, 6),
        (module.and32, 12, 10, 8),
        (module.or32, 12, 10, 14),
    ],
)
def test_arithmetic_of_32_bits_wraps(operation, left, right, expected):
    @numba.njit
    def kernel(one, other):
        return operation(one, other)

    assert kernel(np.uint32(left), np.uint32(right)) == expected
