"""The tables whose truth is known are what they are said to be, and results are counted right."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest

from benchmarks.signal import Seen, cases, read_seen, shares, table
from benchmarks.signal_tables import honest, noise_table, planted, weak_table


def test_noise_tables_are_of_many_shapes_and_come_again_from_their_seed():
    made = [noise_table(np.random.default_rng([1, i])) for i in range(40)]
    rows = [len(y) for _, _, y in made]
    assert 150 <= min(rows) < 300
    assert 2000 < max(rows) <= 5000
    assert any(any(v.dtype.kind == "U" for v in columns.values()) for _, columns, _ in made)
    assert any(not name.endswith(" 0 copies") for name, _, _ in made)
    name, columns, y = noise_table(np.random.default_rng([1, 3]))
    assert name == made[3][0]
    np.testing.assert_array_equal(y, made[3][2])
    assert columns.keys() == made[3][1].keys()


def test_the_weak_signal_is_as_weak_as_asked_for():
    columns, y = weak_table(np.random.default_rng(0), n=200_000, r2=0.02)
    X = np.stack(list(columns.values()), axis=1)
    causes = [X[:, 0], X[:, 1], np.abs(X[:, 2]), X[:, 0] * (X[:, 3] > 0), np.ones(len(y))]
    design = np.stack(causes, axis=1)
    weights, *_ = np.linalg.lstsq(design, y, rcond=None)
    assert 1 - np.var(y - design @ weights) / np.var(y) == pytest.approx(0.02, abs=0.002)


def test_every_table_of_a_call_has_a_name_of_its_own():
    keys = [case.key for case in cases(5, 3, 1, 2)]
    assert len(keys) == len(set(keys))
    assert sum(key.startswith("noise/") for key in keys) == 5
    planted_ones = len(planted(np.arange(100.0), np.random.default_rng(0)))
    assert sum(key.startswith("leaks/") for key in keys) % planted_ones == 0
    honest_ones = len(honest(np.random.default_rng(0)))
    assert sum(key.startswith("honest/") for key in keys) >= 2 * honest_ones


def seen(kind, verdict, right):
    return Seen(f"{kind}/{verdict}{right}", kind, right, verdict, (), 0.5, 0.0, 0.0, "why", 2.0)


def test_results_are_counted_by_kind_and_kept_from_one_call_to_the_next(tmp_path):
    found = [
        seen("noise", "none", True),
        seen("noise", "weak", False),
        seen("leaks", "leaked", True),
    ]
    assert shares(found) == [("noise", 0.5), ("leaks", 1.0)]
    noise, leaks = table(found).splitlines()[2:]
    assert [cell.strip() for cell in noise.split("|")[2:8]] == ["2", "0", "1", "1", "0", "50.0%"]
    assert "100.0%" in leaks
    path = tmp_path / "signal.jsonl"
    assert read_seen(path) == {}
    path.write_text("".join(json.dumps(asdict(one)) + "\n" for one in found))
    again = read_seen(path)
    assert list(again) == [one.key for one in found]
    assert table(list(again.values())) == table(found)
