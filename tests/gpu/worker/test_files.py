"""Whole files only, and what a killed writer leaves is known for what it is."""

from __future__ import annotations

import numpy as np
import pytest

from gpu.worker import files
from steps.files import drop_temporaries


class Killed(BaseException):
    """As SIGKILL: nothing is cleaned up."""


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "deep" / "trial_0.npy"
    files.save_array(path, np.arange(3.0))
    files.save_text(path.with_suffix(".json"), "{}")
    monkeypatch.setattr(files.np, "save", lambda file, values: file.write(values))
    with pytest.raises(TypeError):
        files.save_array(path, "no array")
    assert sorted(p.name for p in path.parent.iterdir()) == ["trial_0.json", "trial_0.npy"]
    assert len(np.load(path)) == 3


def test_what_a_worker_killed_while_it_saves_leaves_is_dropped_later(tmp_path, monkeypatch):
    def killed(*_, **__):
        raise Killed

    files.save_array(tmp_path / "trial_0.npy", np.arange(3.0))
    monkeypatch.setattr(files.np, "save", killed)
    monkeypatch.setattr(files.Path, "unlink", lambda *_, **__: None)
    with pytest.raises(Killed):
        files.save_array(tmp_path / "trial_1.npy", np.arange(3.0))
    monkeypatch.undo()
    assert len(list(tmp_path.iterdir())) == 2
    drop_temporaries(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["trial_0.npy"]
