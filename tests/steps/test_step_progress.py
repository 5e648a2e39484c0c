from __future__ import annotations

import json

from steps.contract import FamilyProgress, Progress
from steps.progress import StepProgress
from tests.steps.forensics.made_workspace import request_for


def test_a_new_phase_is_written_at_once_and_messages_now_and_then(tmp_path):
    now = [100.0]
    request = request_for(tmp_path, 3)
    progress = StepProgress(request, lambda: now[0])

    def shown():
        snapshot = json.loads(request.progress_path.read_text())
        return snapshot["phase"], snapshot["message"], snapshot["elapsed_s"]

    progress.say("reading")
    assert shown() == ("reading", "", 0.0)
    now[0] = 100.1
    progress.say("reading", "page 2")
    assert shown() == ("reading", "", 0.0)
    progress.say("searching", "gap 0")
    assert shown() == ("searching", "gap 0", 0.1)
    now[0] = 101.0
    progress.say("searching", "gap 1")
    assert shown() == ("searching", "gap 1", 1.0)


def test_the_studies_said_last_stay_in_later_phases(tmp_path):
    now = [0.0]
    request = request_for(tmp_path, 5)
    progress = StepProgress(request, lambda: now[0])
    study = FamilyProgress(trials=8, complete=3, pruned=1, failed=0, best=0.5)

    def shown():
        snapshot = Progress.model_validate_json(request.progress_path.read_text())
        return snapshot.phase, dict(snapshot.families), snapshot.time_left_s

    progress.say("searching")
    progress.say("searching", families={"catboost": study}, time_left_s=4.04)
    assert shown() == ("searching", {}, None)
    now[0] = 1.0
    progress.say("searching", families={"catboost": study}, time_left_s=4.04)
    assert shown() == ("searching", {"catboost": study}, 4.0)
    progress.say("judging")
    assert shown() == ("judging", {"catboost": study}, None)
