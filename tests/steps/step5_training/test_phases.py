"""Phases follow one another; each has the time until the next."""

from __future__ import annotations

from steps.step5_training.phases import Phases


def test_each_phase_is_told_and_timed_until_the_next_begins():
    now, told = [10.0], []
    phases = Phases(told.append, lambda: now[0])
    assert phases.seconds == {}
    for name, at in (("reading", 10.0), ("searching", 12.5), ("reading", 20.0), ("judging", 21.0)):
        now[0] = at
        phases.begin(name)
    assert told == ["reading", "searching", "reading", "judging"]
    assert phases.seconds == {"reading": 3.5, "searching": 7.5}
