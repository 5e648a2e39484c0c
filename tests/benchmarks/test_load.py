from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks import load
from benchmarks.load import MOST_MIB, Level, Tally, grown, main
from gpu.host.pool import JobEnded
from gpu.protocol import TrainFailed, TrainTrial


def figures(text):
    """The rows of the printed table."""
    return {line[:32].strip(): line[32:].strip() for line in text.splitlines()[1:]}


def test_every_job_of_a_load_is_counted(capsys):
    assert main(["jobs", "--count", "40"]) == 0
    rows = figures(capsys.readouterr().out)
    assert rows["jobs answered"] == "40"
    assert rows["jobs lost"] == rows["jobs that ended twice"] == "0"
    # The first look is after half of the jobs, or one later where two ended together.
    assert rows["workers"] in ("2 at 20, 2 at 40", "2 at 21, 2 at 40")


def test_killed_workers_lose_no_job(capsys):
    assert main(["kills", "--count", "8", "--seed", "1"]) == 0
    rows = figures(capsys.readouterr().out)
    assert rows["workers killed"] == "8"
    ended = int(rows["jobs answered"]) + int(rows.get("jobs crashed", "0"))
    assert ended == int(rows["jobs started"])


@pytest.mark.parametrize("ends", [0, 2])
def test_a_job_that_is_lost_or_ends_twice_is_seen(ends):
    job = TrainTrial(
        id="a", family="lightgbm", trial_number=0, params={}, table="t", folds=(0,), seed=0,
        predictions_path="p",
    )  # fmt: skip
    tally = Tally(started={"a"})
    tally.take([JobEnded(job, TrainFailed(kind="crashed", message="", id="a"), 0.0)] * ends)
    assert (tally.lost, tally.twice) == ((1, 0) if ends == 0 else (0, 1))


FLAT = Level(jobs=20, parent_mib=50.0, open_files=15, workers=2, workers_mib=60.0)


@pytest.mark.parametrize(
    ("rise", "named"),
    [
        ({"parent_mib": 59.0}, "parent MiB: 9 more, 8 allowed"),
        ({"workers_mib": 80.0}, "MiB a worker: 10 more, 8 allowed"),
        ({"open_files": 18}, "open files: 3 more, 2 allowed"),
    ],
)
def test_what_grows_beyond_its_bound_fails_the_load(monkeypatch, capsys, rise, named):
    levels = iter([FLAT, replace(FLAT, **rise)])
    monkeypatch.setattr(load, "_level", lambda jobs: next(levels))
    assert main(["jobs", "--count", "6"]) == 1
    assert figures(capsys.readouterr().out)["grown beyond its bound"] == named


def test_growth_within_its_bound_and_the_memory_of_one_more_worker_are_no_fault():
    more = replace(FLAT, parent_mib=50.0 + MOST_MIB, open_files=17, workers=3, workers_mib=93.0)
    assert grown([FLAT, more]) == []


def test_killed_workers_that_leave_files_open_fail_the_load(monkeypatch):
    levels = iter([FLAT, replace(FLAT, open_files=18)])
    monkeypatch.setattr(load, "_level", lambda jobs: next(levels))
    assert main(["kills", "--count", "2", "--seed", "1"]) == 1
