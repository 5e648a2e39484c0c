"""--skip-status and --skip-clear: who is left out and why; let one train again."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from agents.lock import only_watcher
from agents.workspace import Workspace
from steps.contract import ExitCode, FamilyResult
from steps.policies import SkipPolicy
from steps.step5_training.skip_registry import count_run, registry_file

FAILED = FamilyResult(status="failed", severity="critical", error="every trial failed; diverged")
FAMILIES = ["neural_net", "xgboost", "lightgbm", "catboost"]


@pytest.fixture
def file(folder):
    """neural_net has been critical three times, xgboost once, lightgbm was well."""
    path = registry_file(folder.root)
    now = datetime.now(UTC)
    for run, families in (
        ("r1", {"neural_net": FAILED}),
        ("r2", {"neural_net": FAILED}),
        ("r3", dict.fromkeys(("neural_net", "xgboost"), FAILED)),
    ):
        count_run(path, run, families, SkipPolicy(), now)
    count_run(path, "r4", {"lightgbm": FamilyResult(status="complete")}, SkipPolicy(), now)
    return path


def test_status_tells_how_every_family_stands(watcher, file):
    out = " ".join(watcher("--skip-status").out.split())
    assert "neural_net left out after 3 critical results in a row, until" in out
    assert "in run r3: every trial failed; diverged" in out
    assert "`watcher --skip-clear neural_net` lets it train" in out
    assert "xgboost may train; 1 critical result, the last in run r3" in out
    assert "lightgbm may train; was not critical in run r4" in out
    assert "catboost may train; no run has counted it" in out
    assert "for 24 hours after 3 critical results in a row" in out


def test_status_in_json_names_count_time_and_finding(watcher, file):
    answer = watcher("--skip-status", "--json")
    assert answer.code == ExitCode.DONE
    document = answer.document
    assert document["policy"] == {"enabled": True, "after_critical": 3, "hours": 24.0}
    assert list(document["families"]) == FAMILIES
    net = document["families"]["neural_net"]
    assert net["left_out"]
    assert net["consecutive_critical"] == 3
    assert net["last_critical"]["finding"] == FAILED.error
    until, at = (datetime.fromisoformat(t) for t in (net["until"], net["last_critical"]["at"]))
    assert until - at == timedelta(hours=24)
    assert [f for f in FAMILIES if document["families"][f]["left_out"]] == ["neural_net"]


def test_status_works_where_nothing_has_run_and_changes_nothing(watcher, folder):
    before = sorted(folder.root.rglob("*"))
    families = watcher("--skip-status", "--json").document["families"]
    assert not any(family["left_out"] for family in families.values())
    assert sorted(folder.root.rglob("*")) == before


def test_status_says_when_the_policy_leaves_nobody_out(watcher, folder, file):
    folder.policy(skip={"enabled": False})
    assert "skip.enabled is false" in watcher("--skip-status").out
    assert not watcher("--skip-status", "--json").document["families"]["neural_net"]["left_out"]


def test_status_tells_of_damage_and_leaves_it_for_the_next_run(watcher, file):
    damaged = file.read_text().replace('"catboost"', "x").replace('"lightgbm"', '"lightgbm')
    file.write_text(damaged)
    answer = watcher("--skip-status")
    assert "not valid JSON" in answer.out
    assert "kept from it: neural_net, xgboost" in answer.out.replace("\n", " ")
    assert file.read_text() == damaged


def test_clear_forgets_one_family(watcher, file):
    answer = watcher("--skip-clear", "neural_net")
    assert answer.code == ExitCode.DONE
    assert "neural_net: 3 critical results in a row forgotten" in answer.out
    families = watcher("--skip-status", "--json").document["families"]
    assert families["neural_net"]["consecutive_critical"] == 0
    assert families["xgboost"]["consecutive_critical"] == 1


def test_clear_in_json_hands_back_what_was_forgotten(watcher, file):
    document = watcher("--skip-clear", "neural_net", "--json").document
    assert (document["status"], document["family"]) == ("ok", "neural_net")
    assert document["forgotten"]["consecutive_critical"] == 3
    assert watcher("--skip-clear", "neural_net", "--json").document["forgotten"] is None


def test_clear_of_a_family_that_may_train_says_so(watcher, file):
    for family in ("lightgbm", "catboost"):
        assert f"No critical result of {family} was counted" in watcher("--skip-clear", family).out


def test_clear_of_a_name_that_is_no_family_is_a_usage_error_with_the_nearest(watcher, file):
    before = file.read_bytes()
    answer = watcher("--skip-clear", "xgbost")
    assert answer.code == ExitCode.USAGE
    assert "got 'xgbost'; did you mean xgboost?" in answer.err.replace("\n", " ")
    assert file.read_bytes() == before


def test_clear_is_refused_while_a_watcher_works_here(watcher, folder, file):
    before = file.read_bytes()
    with only_watcher(Workspace.open(folder.root), "run r5", datetime.now(UTC)):
        answer = watcher("--skip-clear", "neural_net")
        assert watcher("--skip-status").code == ExitCode.DONE
    assert answer.code == ExitCode.STEP_FAILED
    assert "another watcher works in" in answer.err
    assert file.read_bytes() == before


def test_clear_sets_a_damaged_file_right_and_says_so(watcher, file):
    document = json.loads(file.read_text())
    document["families"]["xgboost"] = "garbage"
    file.write_text(json.dumps(document))
    answer = watcher("--skip-clear", "neural_net")
    assert "'xgboost' cannot be read" in answer.out
    assert list(json.loads(file.read_text())["families"]) == ["lightgbm"]
