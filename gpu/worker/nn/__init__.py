"""The network, its inputs, and the ways to train it."""

import os
from pathlib import Path

_CPU = Path("/proc/cpuinfo")


def _settle_products() -> None:
    """Have MKL multiply alike wherever an operand lies in memory, before it multiplies at all.

    A network must not depend on its place in a stack. MKL's kernels for AVX2 round otherwise for a
    matrix that does not begin at a multiple of 64 bytes; in its mode AUTO of "conditional numerical
    reproducibility" they do not. Those for Intel's AVX-512 never did, so there it is left alone.
    """
    if "MKL_CBWR" in os.environ:
        return
    try:
        flags = _CPU.read_text(encoding="utf-8", errors="replace")
    except OSError:
        flags = ""
    if not ("GenuineIntel" in flags and "avx512f" in flags):
        os.environ["MKL_CBWR"] = "AUTO"


_settle_products()
