from __future__ import annotations

import numpy as np

from steps.step2_scorer import evidence
from steps.step2_scorer.evidence import evidence_of
from tests.steps.forensics.made_workspace import JAVA, candidate, found, made_history, true_history

TRIED = (0.001, 0.35)


def test_the_candidate_that_made_the_draws_is_kept_and_chances_survivors_are_not():
    history, _ = made_history(count=200)
    survivors = [candidate(seed) for seed in range(1, 30)]
    (only,) = evidence_of([*survivors, found(200)], history, TRIED)
    assert only.stream == "all"
    assert only.said.tolist() == [history.draws.tolist()]
    assert only.recorded.tolist() == history.draws.tolist()
    assert only.log_prior.tolist() == [-22.0]


def test_draws_before_a_candidates_first_one_are_none_of_its_own():
    history, _ = made_history(count=200)
    later = found(200, first=150, offset=0, matches=50, compared=50)
    (only,) = evidence_of([later], history, TRIED)
    assert set(only.said[0, :150]) == {evidence.SILENT}
    assert only.said[0, 150:].tolist() == history.draws[150:].tolist()


def test_only_the_newest_draws_are_predicted(monkeypatch):
    monkeypatch.setattr(evidence, "MOST_DRAWS", 60)
    history, _ = made_history(count=200)
    (only,) = evidence_of([found(200)], history, TRIED)
    assert only.recorded.tolist() == history.draws[140:].tolist()
    assert only.said.tolist() == [history.draws[140:].tolist()]


def test_noise_leaves_no_candidate_that_could_weigh_anything():
    history, _ = true_history(count=400)
    assert evidence_of([candidate(seed) for seed in range(200)], history, TRIED) == ()
    assert evidence_of([], history, TRIED) == ()


def test_no_draw_is_predicted_twice_where_streams_overlap():
    history, _ = made_history(count=240, sessions=("early", "late"))
    whole = found(240)
    parts = [
        found(120, stream=f"session {name}", gap=1, offset=offset)
        for offset, name in enumerate(("early", "late"))
    ]

    def streams(candidates):
        return [one.stream for one in evidence_of(candidates, history, TRIED)]

    assert streams([whole, *parts]) == ["all"]
    # The best is of a session: each session by itself, and not the whole.
    assert streams([found(60), *parts]) == ["session early", "session late"]
    early, late = evidence_of(parts, history, TRIED)
    assert early.said[0].tolist() == history.draws[::2].tolist()
    assert late.said[0].tolist() == history.draws[1::2].tolist()


def test_draws_missing_from_the_record_do_not_end_a_candidate():
    history, truth = made_history(machine=JAVA, count=150, missing_rate=0.02)
    assert truth.missing
    (only,) = evidence_of([found(150, missing=len(truth.missing))], history, TRIED)
    assert np.mean(only.said[0] == history.draws) > 0.97
