"""Compile kernels to machine code, and keep the code on disk where a folder can be written.

Rules for kernels. Signed and unsigned 64-bit integers never meet: numba would turn both to floats.
Arithmetic on 32-bit integers goes through the functions below: numba widens it to 64 bits, with
half the lanes of a vector and a multiplication that is several times as slow. A kernel calls
kernels of its own file only: the cache on disk sees when that file changes, and no other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numba.core import types
from numba.core.codegen import get_host_cpu_features
from numba.extending import intrinsic

Kernel = TypeVar("Kernel", bound=Callable[..., object])
Operation = Callable[[np.uint32, np.uint32], np.uint32]


# LLVM keeps to half of 512 bits on most processors that have vectors as wide: with all of them the
# kernels here are a fifth faster. It goes for whatever numba compiles in this process: these.
_config: Any = numba.config
_host_features: Callable[[], str] = get_host_cpu_features
if _config.CPU_FEATURES is None and "+avx512f" in _host_features().split(","):
    _config.CPU_FEATURES = f"{_host_features()},-prefer-256-bit"


def compiled(function: Kernel) -> Kernel:
    """`function` as machine code, made at its first call; it runs without the interpreter's lock.

    Division by zero is not checked: that would keep loops from using vector instructions.
    """
    try:
        made = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:  # no folder to keep it in: compiled anew in every process
        made = numba.njit(nogil=True, error_model="numpy")(function)
    return cast(Kernel, made)


def _operation(instruction: str) -> Operation:
    """One instruction of LLVM on two uint32, for kernels only."""

    def typed(context: Any, left: Any, right: Any) -> Any:  # noqa: ARG001
        def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
            return getattr(builder, instruction)(*arguments)

        return types.uint32(types.uint32, types.uint32), generate

    return cast(Operation, intrinsic(typed))


# Modulo 2^32.
add32 = _operation("add")
subtract32 = _operation("sub")
multiply32 = _operation("mul")
xor32 = _operation("xor")
and32 = _operation("and_")
or32 = _operation("or_")
# By 0..31 bits.
left32 = _operation("shl")
right32 = _operation("lshr")
