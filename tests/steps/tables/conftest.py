from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from steps.tables import Table, TableOptions, read_table

ReadText = Callable[..., Table]


@pytest.fixture
def read_text(tmp_path: Path) -> ReadText:
    """Write a file and read it as a table: read_text("a,y\\n1,2\\n", target="y")."""

    def read(content: str | bytes, name: str = "t.csv", **options: object) -> Table:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_table(path, TableOptions(**{"target": "y", **options}))  # type: ignore[arg-type]

    return read
