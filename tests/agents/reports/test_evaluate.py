"""--evaluate: a file is judged as a run would judge it, and nothing is run."""

import json

import pytest
from rich.console import Console

from agents.errors import UsageError
from agents.manifests import load_manifests
from agents.reports.evaluate import evaluate
from agents.views.evaluate_view import evaluation_document, show_evaluation
from steps.contract import ExitCode, StepRequest
from steps.policies import Policy

MANIFEST = {
    "step": 5,
    "agent_name": "training",
    "module": "steps.step5_training",
    "parameter_bounds": {
        "trials": {"type": "integer", "min": 1, "max": 200, "default": 10},
        "use_leaky_relu": {"type": "boolean", "default": False},
        "slots": {"type": "integer", "min": 0, "max": 64, "default": 0},
    },
}
DEAD = {"level": "critical", "code": "dead_units", "message": "40 % of its units are dead"}
POLICY = Policy.model_validate(
    {"retries": {"remedies": [{"finding": "dead_units", "parameter": "use_leaky_relu", "set": True},
                              {"finding": "out_of_memory", "parameter": "slots",
                               "multiply": 0.5, "when_unset": 8}]}}
)  # fmt: skip


@pytest.fixture
def manifests(tmp_path):
    folder = tmp_path / "agent_manifests"
    folder.mkdir()
    (folder / "training.json").write_text(json.dumps(MANIFEST))
    return load_manifests(folder)


@pytest.fixture
def judged(tmp_path, manifests):
    def run(document, policy=POLICY, name="file.json"):
        path = tmp_path / name
        path.write_text(document if isinstance(document, str) else json.dumps(document))
        return evaluate(path, policy, manifests)

    return run


def result(status="complete", **more):
    return {
        "run_id": "r1",
        "step": 5,
        "attempt": 1,
        "status": status,
        "headline": "It is done.",
        **more,
    }


def family(status="complete", severity="ok", findings=(), **more):
    return {"status": status, "severity": severity, "findings": list(findings), **more}


def diagnostics(signal="strong", winner="catboost", **families):
    return {
        "schema_version": 1,
        "run_id": "r1",
        "created_at": "2026-11-22T02:03:18Z",
        "winner": winner,
        "signal": {"verdict": signal, "reasons": ["holdout R2 0.4"]} if signal else None,
        "families": families or {"catboost": family()},
        "notes": [],
        "a_key_of_a_newer_watcher": {"x": 1},
    }


def shown(found, width=80):
    console = Console(width=width, highlight=False, markup=False, emoji=False)
    with console.capture() as capture:
        show_evaluation(console, found)
    return capture.get()


def test_complete_result_lets_the_run_go_on(judged):
    found = judged(result())
    assert (found.kind, found.verdict.outcome) == ("result", "complete")
    assert (found.decision.action, found.exit_code) == ("next", ExitCode.DONE)


@pytest.mark.parametrize(
    ("kind", "outcome", "action", "code"),
    [
        ("bad_input", "bad_input", "stop", 1),
        ("usage", "usage", "stop", 2),
        ("blocked", "blocked", "stop", 10),
        ("internal", "internal", "retry", 1),
        ("out_of_memory", "out_of_memory", "retry", 1),
    ],
)
def test_failed_result_leads_to_what_a_run_would_do(judged, kind, outcome, action, code):
    found = judged(result("failed", error={"kind": kind, "message": "no"}))
    assert found.verdict.outcome == outcome
    assert (found.decision.action, found.exit_code) == (action, code)


def test_halted_result_is_a_stop_with_exit_code_10(judged):
    found = judged(result("halted"))
    assert (found.verdict.outcome, found.exit_code) == ("halted", ExitCode.HALTED)


def test_no_signal_is_a_finding_of_step_5_and_a_refusal_elsewhere(judged):
    assert judged(result("no_signal")).exit_code == ExitCode.DONE
    assert judged(result("no_signal") | {"step": 6}).exit_code == ExitCode.NO_SIGNAL


def test_unhealthy_winner_leads_to_the_rule_that_answers_its_finding(judged):
    sick = {"catboost": {"status": "complete", "severity": "critical", "notes": [DEAD]}}
    found = judged(result(winner="catboost", families=sick))
    assert found.verdict.outcome == "unhealthy"
    assert found.decision.changes == {"use_leaky_relu": True}


def test_result_that_waits_for_a_person_exits_with_11(judged):
    waits = {"what": "publish", "agent": "a", "version": "v", "in_force": "w"}
    found = judged(result(awaiting={**waits, "reason": "0.3 is under 0.4"}))
    assert found.exit_code == ExitCode.WAITING_FOR_APPROVAL
    assert "0.3 is under 0.4" in found.decision.reason


def test_policy_in_force_decides(judged):
    failed = result("failed", error={"kind": "internal", "message": "no"})
    none = Policy.model_validate({"retries": {"max_per_step": 0}})
    assert judged(failed, none).decision.action == "stop"
    asks = Policy.model_validate({"retries": {"max_per_step": 0, "when_used_up": "ask"}})
    assert judged(failed, asks).exit_code == ExitCode.WAITING_FOR_APPROVAL


def test_parameters_are_those_of_the_request_beside_it(judged, tmp_path):
    request = StepRequest(
        run_id="r1", step=5, attempt=1, params={"slots": 6, "trials": 3}, inputs={},
        workspace="", policy_path="", out_dir="",
    )  # fmt: skip
    failed = result("failed", error={"kind": "out_of_memory", "message": "no"})
    assert judged(failed).decision.changes == {"slots": 4}
    (tmp_path / "request.json").write_text(request.model_dump_json())
    found = judged(failed)
    assert found.decision.changes == {"slots": 3}
    assert "its parameters are those of request.json beside it" in found.assumed
    other = request.model_copy(update={"attempt": 2})
    (tmp_path / "request.json").write_text(other.model_dump_json())
    assert judged(failed).decision.changes == {"slots": 4}


def test_step_without_a_manifest_is_judged_all_the_same(judged):
    found = judged(result("failed", error={"kind": "internal", "message": "no"}) | {"step": 3})
    assert found.decision.action == "retry"
    assert "step 3 has no manifest here: no rule can change a parameter" in found.assumed


def test_diagnostics_of_healthy_families_let_the_run_go_on(judged):
    found = judged(diagnostics())
    assert (found.kind, found.verdict.outcome) == ("diagnostics", "complete")
    assert (found.decision.action, found.result.winner) == ("next", "catboost")


def test_diagnostics_with_an_unhealthy_winner_lead_to_a_retry(judged):
    found = judged(diagnostics(catboost=family(severity="critical", findings=[DEAD])))
    assert (found.verdict.outcome, found.decision.action) == ("unhealthy", "retry")
    assert found.decision.changes == {"use_leaky_relu": True}
    assert found.exit_code == ExitCode.STEP_FAILED


def test_diagnostics_without_a_signal_are_a_finding_not_a_failure(judged):
    found = judged(diagnostics("none"))
    assert (found.verdict.outcome, found.exit_code) == ("no_signal", ExitCode.DONE)


def test_diagnostics_without_any_model_are_a_failure(judged):
    memory = {"level": "critical", "code": "out_of_memory", "message": "no memory"}
    failed = family("failed", "critical", error="it broke")
    assert judged(diagnostics(None, None, catboost=failed)).verdict.outcome == "internal"
    failed["findings"] = [memory]
    assert judged(diagnostics(None, None, catboost=failed)).verdict.outcome == "out_of_memory"
    off = family("skipped", error="off")
    assert judged(diagnostics(None, None, catboost=off)).exit_code == ExitCode.HALTED


def test_content_decides_not_the_name(judged):
    assert judged(diagnostics(), name="result.json").kind == "diagnostics"
    assert judged(result(), name="training_diagnostics.json").kind == "result"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{}", "must be a step's result .* got keys none"),
        ('{"a": 1}', "got keys a"),
        ("[]", "must be an object {...}, got a list"),
        ('{"a": ', "not valid JSON at line 1, column 7"),
        ("", "not valid JSON at line 1, column 1"),
        ("[" * 100_000, "not valid JSON"),
        (json.dumps(result(status="odd")), "status: "),
        (json.dumps(result() | {"attempt": "x"}), "attempt: .* got 'x'"),
        (json.dumps(diagnostics() | {"schema_version": 3}), "schema_version: "),
        (json.dumps(diagnostics(catboost={"severity": "ok"})), r"families\.catboost\.findings"),
    ],
)
def test_any_other_file_is_refused_with_its_name_and_key(judged, text, says):
    with pytest.raises(UsageError, match=rf"file\.json: .*{says}"):
        judged(text)


def test_missing_and_unreadable_files_are_named(tmp_path, manifests):
    with pytest.raises(UsageError, match=r"none\.json: no such file"):
        evaluate(tmp_path / "none.json", POLICY, manifests)
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        evaluate(tmp_path, POLICY, manifests)
    (tmp_path / "bytes.json").write_bytes(b'{"a": "\xff"}')
    with pytest.raises(UsageError, match="must be UTF-8 text, got byte 7"):
        evaluate(tmp_path / "bytes.json", POLICY, manifests)


def test_what_is_shown_holds_verdict_decision_and_findings(judged):
    families = {
        "catboost": family(severity="critical", findings=[DEAD]),
        "xgboost": family("failed", "critical", error="RuntimeError: no\nline two"),
    }
    text = shown(judged(diagnostics(**families)))
    assert "verdict: unhealthy (critical)" in text
    assert "retry: the step would be run again" in text
    assert "use_leaky_relu = True" in text
    assert "catboost: complete, critical, the winner" in text
    assert "40 % of its units are dead" in text
    assert "line two" not in text
    assert "Signal: strong" in text
    assert max(map(len, text.splitlines())) <= 80


def test_document_carries_the_same_facts_without_secrets(judged):
    failed = result(
        "failed", error={"kind": "internal", "message": "postgresql://me:hunter22@db is down"}
    )
    document = evaluation_document(judged(failed))
    assert document["status"] == document["verdict"]["outcome"] == "internal"
    assert document["decision"]["action"] == "retry"
    assert document["exit_code"] == 1
    assert "hunter22" not in json.dumps(document)
    assert "hunter22" not in shown(judged(failed))
