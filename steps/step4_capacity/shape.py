"""How large a table is, without looking at its values."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from steps.errors import StepRefused
from steps.tables.read import open_source
from steps.tables.table import TableError


def shape_of(path: Path) -> tuple[int, int]:
    """Rows and columns; raises StepRefused that names the file.

    Of Parquet only the footer is read; other files have none, and are read and counted.
    """
    try:
        if path.suffix.lower() == ".parquet":
            footer = parquet.read_metadata(path)
            return footer.num_rows, len(footer.schema.to_arrow_schema().names)
        rows: Counter[str] = Counter()
        for piece in open_source(path).pieces(None):
            rows[piece.name] += len(piece.values)
    except TableError as error:
        raise StepRefused("bad_input", str(error)) from error
    except (OSError, pa.ArrowException) as error:
        raise StepRefused("bad_input", f"{path}: cannot be read: {error}") from error
    return max(rows.values(), default=0), len(rows)
