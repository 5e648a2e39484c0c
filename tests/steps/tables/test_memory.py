from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

ROWS, FEATURES, REPEATS = 100_000, 62, 10
# The high-water mark of the address space belongs to this process alone; ru_maxrss would begin at
# that of the process which started it.
MEASURE = """
import json, sys
from pathlib import Path
from steps.tables import TableOptions, read_table
def peak_kib():
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])
before = peak_kib()
table = read_table(Path(sys.argv[1]), TableOptions(target=sys.argv[2]))
print(json.dumps({"bytes": (peak_kib() - before) * 1024, "table": table.X.nbytes,
                  "sum": float(table.y.sum()), "pandas": "pandas" in sys.modules}))
"""


@pytest.fixture(scope="module")
def arrays():
    """X (ROWS, FEATURES) and y (ROWS,); only to be looked at."""
    rng = np.random.default_rng(0)
    # Short numbers, so that the files are quick to write; the table in memory is as large.
    X = np.tile(rng.integers(-9999, 9999, (ROWS // REPEATS, FEATURES)) / 100, (REPEATS, 1))
    return X, X[:, 0] + np.tile(rng.integers(0, 9, ROWS // REPEATS), REPEATS)


def write(path: Path, X: np.ndarray, y: np.ndarray) -> None:
    names = [f"f{place}" for place in range(X.shape[1])]
    if path.suffix == ".npz":
        np.savez(path, X=X, y=y)
    elif path.suffix == ".json":
        # The text of the rows that are repeated is made once.
        block = [
            json.dumps({"features": dict(zip(names, row, strict=True)), "y": value})[1:]
            for row, value in zip(X[: ROWS // REPEATS].tolist(), y.tolist(), strict=False)
        ]
        records = (f'{{"seed": {i * 7919 % 2**32}, {block[i % len(block)]}' for i in range(ROWS))
        path.write_text("[" + ",\n".join(records) + "]")
    else:
        table = pa.table({**{n: X[:, i] for i, n in enumerate(names)}, "y": y})
        if path.suffix == ".csv":
            pyarrow.csv.write_csv(table, path)
        else:
            pq.write_table(table, path)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize("name", ["t.csv", "t.parquet", "t.npz", "t.json"])
def test_peak_memory_stays_under_four_times_the_table(tmp_path, arrays, name):
    X, y = arrays
    write(tmp_path / name, X, y)
    command = [sys.executable, "-c", MEASURE, str(tmp_path / name), "y"]
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, check=True)
    measured = json.loads(done.stdout)
    assert measured["table"] == ROWS * FEATURES * 4
    assert measured["sum"] == pytest.approx(float(y.sum()))
    assert measured["bytes"] < 4 * measured["table"]
    assert not measured["pandas"]
