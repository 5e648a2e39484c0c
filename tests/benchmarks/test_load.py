from __future__ import annotations

import pytest

from benchmarks.load import Tally, main
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
