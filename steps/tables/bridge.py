"""Between numpy and pyarrow by their buffers.

pyarrow's own conversions (pa.array, pa.scalar, Array.to_numpy) import pandas wherever it is
installed, which costs half a second and 36 MB that nothing here needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Mask = npt.NDArray[np.bool_]


def arrow_texts(values: Sequence[str | None]) -> Any:
    """A pyarrow string array; None is null.

    Raises UnicodeEncodeError for a lone surrogate; its `object` is the first such text.
    """
    encoded = [b"" if value is None else value.encode("utf-8") for value in values]
    offsets = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum([len(text) for text in encoded], out=offsets[1:])
    # 64-bit offsets first: the texts of a column may exceed 2 GB.
    buffers = (pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded)))
    missing = np.array([value is None for value in values], bool)
    texts = pa.LargeStringArray.from_buffers(len(encoded), *buffers, _validity(missing))
    return pc.cast(texts, pa.string())


def arrow_numbers(values: npt.NDArray[Any], missing: Mask | None = None, kind: Any = None) -> Any:
    """A pyarrow array over the same memory. kind: another type of the same width (timestamps)."""
    values = np.ascontiguousarray(values)
    kind = kind or pa.from_numpy_dtype(values.dtype)
    validity = None if missing is None else _validity(missing)
    return pa.Array.from_buffers(kind, len(values), [validity, pa.py_buffer(values)])


def numpy_values(array: Any) -> npt.NDArray[Any]:
    """The values of a pyarrow array of numbers, bools or moments; whatever where it is null.

    A view where it can be: moments are int64, bools a copy.
    """
    if pa.types.is_boolean(array.type):
        return numpy_values(pc.cast(array, pa.uint8())).view(bool)
    width = array.type.bit_width // 8
    code = "f" if pa.types.is_floating(array.type) else "i"
    if pa.types.is_unsigned_integer(array.type):
        code = "u"
    if len(array) == 0:
        return np.empty(0, f"{code}{width}")
    offset = array.offset * width
    return np.frombuffer(array.buffers()[1], f"{code}{width}", len(array), offset)


def missing_in(array: Any) -> Mask | None:
    """Where a pyarrow array is null, or None if it nowhere is."""
    if array.null_count == 0:
        return None
    bits = np.frombuffer(pc.cast(array.is_null(), pa.uint8()).buffers()[1], bool, len(array))
    return np.array(bits)


def numpy_floats(array: Any) -> npt.NDArray[Any]:
    """A pyarrow array of floats with nulls as NaN; a view if there are none."""
    values = numpy_values(array)
    missing = missing_in(array)
    if missing is None:
        return values
    values = values.copy()
    values[missing] = np.nan
    return values


def without(texts: Any, mask: Any) -> Any:
    """Texts, null where the pyarrow mask is true."""
    return pc.if_else(mask, pa.nulls(len(texts), pa.string()), texts)


def _validity(missing: Mask) -> Any:
    return pa.py_buffer(np.packbits(~missing, bitorder="little"))
