from __future__ import annotations

import json
from hashlib import sha256

from steps.forensics.progress import StepProgress, outputs_in
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


def test_outputs_carry_their_digest_and_their_path_from_the_workspace(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.txt").write_bytes(b"two")
    (output,) = outputs_in(tmp_path, "a/b.txt")
    assert (output.path, output.bytes) == ("a/b.txt", 3)
    assert output.sha256 == sha256(b"two").hexdigest()
