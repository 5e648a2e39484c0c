"""What the pages tell: a run that is on, one that died, runs, reports, studies; nothing else."""

from __future__ import annotations

import shutil
import sqlite3
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import optuna
import pytest

from agents.decide import Decision
from agents.serve.run_reports import PAGES_KEPT
from agents.serve.studies import SQLITE_FILE
from steps.policies import Policy, PolicyError
from steps.step5_training.storage import open_storage

RUN = "20261122-020318-ab12"
SCORES = {
    "r2": {"value": 0.8123, "ci95": [0.79, 0.83]},
    "rmse": {"value": 12.5},
    "mae": {"value": 9.25},
}
RESULT = {
    "headline": "lightgbm explains most of the target",
    "winner": "lightgbm",
    "signal": {"verdict": "strong", "reasons": ["the holdout R2 is far above 0"]},
    "families": {
        "lightgbm": {"status": "complete", "cv": SCORES, "holdout": SCORES, "training_s": 61.0},
        "neural_net": {"status": "failed", "severity": "critical", "error": "it diverged"},
    },
}
HOSTILE = "<script>alert(1)</script>\"'&{{7*7}}\u202etxt\ud800\x1b[31m"


def text_of(answer):
    return " ".join(answer.text.split())


def all_files(root):
    # SQLite keeps -wal and -shm beside a ledger that somebody has open.
    files = (path for path in root.rglob("*") if path.is_file())
    return {path: path.read_bytes() for path in files if not path.name.endswith(("-wal", "-shm"))}


def test_pages_work_where_nothing_ever_ran(tmp_path, serve, site):
    site.ledger.__exit__()
    shutil.rmtree(site.workspace.state_folder)
    served = serve()
    assert "Nothing has run here yet" in served.ask("/").text
    assert "Nothing has run here yet" in served.ask("/runs").text
    assert "No run of step 5" in served.ask("/reports").text
    assert "No studies" in served.ask("/studies").text
    assert served.ask("/api/status").document["status"] == "never_run"
    assert list(site.workspace.root.iterdir()) == []


def test_run_that_is_on_is_told_with_families_trials_and_time_left(serve, site):
    site.start()
    site.attempt()
    site.progress(complete=3)
    site.log("trial 3 began\nfold 2\n")
    site.clock.later_s = 90
    page = text_of(serve().ask("/"))
    for wanted in (
        "step 5, reinforcement",
        "searching",
        "1:30",
        "3 min 19 s",
        "lightgbm",
        "4/20",
        "1 pruned",
        "2 failed",
        "0.5300",
        "trial 3, fold 2/5",
        "cpu-slot-0",
        "fold 2",
    ):
        assert wanted in page, wanted
    assert 'max="20" value="4"' in page
    assert "told nothing" not in page


def test_next_look_shows_what_has_changed(serve, site):
    site.start()
    site.attempt()
    site.progress(complete=3)
    served = serve()
    assert "4/20" in served.ask("/live").text
    site.progress(complete=7, phase="final fits")
    changed = served.ask("/live").text
    assert "8/20" in changed
    assert "final fits" in changed


def test_silent_step_is_told_from_a_dead_watcher(serve, site):
    site.start()
    site.attempt()
    site.progress()
    site.clock.later_s = 89 + 61
    assert "told nothing for 1 min 1 s; its watcher" in text_of(serve().ask("/"))


def test_run_whose_watcher_died_is_not_shown_as_running(serve, site):
    site.start(alive=False)
    site.attempt()
    site.progress()
    page = text_of(serve().ask("/"))
    assert "interrupted" in page
    assert "Nobody watches this run any more" in page
    assert "died before the run ended" in page
    assert "So far" not in page


def test_run_that_has_ended_is_told_with_its_finding_and_scores(serve, site, diagnostics):
    site.start()
    site.attempt()
    site.end(RESULT)
    diagnostics()
    page = text_of(serve().ask("/"))
    for wanted in (RESULT["headline"], "strong", "0.8123 [0.790, 0.830]", "12.5", "it diverged"):
        assert wanted in page, wanted
    assert f'href="/reports/{RUN}"' in page


def test_halt_and_broken_policy_are_told_and_do_not_stop_the_pages(serve, site):
    site.workspace.halt_file.write_text("the GPU is needed")
    served = serve()
    assert "the GPU is needed" in served.ask("/").text

    def broken():
        raise PolicyError("watcher_policies.json: halt: must be true or false")

    site.read_policy = broken
    site.workspace.halt_file.unlink()
    assert "must be true or false" in serve().ask("/").text
    assert served.ask("/runs").status == 200


def test_secrets_are_masked_in_log_and_progress(serve, site):
    site.start()
    site.attempt(params={"api_token": "tr0ub4dor", "url": "postgresql://me:hunter2@db/x"})
    site.progress(message="opening postgresql://me:hunter2@db/x")
    site.log("key tr0ub4dor\nhttps://u:pa55word@h/\n?token=zzzzzz\n")
    served = serve()
    for path in ("/", "/live", "/api/status"):
        text = served.ask(path).text
        for secret in ("tr0ub4dor", "hunter2", "pa55word", "zzzzzz"):
            assert secret not in text, (path, secret)
        assert "***" in text


def test_secret_that_is_cut_by_the_window_of_the_log_is_not_shown(serve, site):
    site.start()
    site.attempt(params={"api_token": "tr0ub4dor-and-more"})
    filler = "x" * ((1 << 15) - len("-and-more\nthe end\n"))
    site.log(f"tr0ub4dor-and-more\nthe end\n{filler}\n"[: len(filler) + 40])
    text = serve().ask("/").text
    assert "and-more" not in text


def test_only_the_end_of_a_long_log_is_read(serve, site):
    site.start()
    site.attempt()
    site.log("".join(f"line {number}\n" for number in range(100_000)))
    page = serve().ask("/").text
    assert "line 99999\n" in page
    assert "line 99960\n" in page
    assert "line 99959\n" not in page


def test_hostile_names_and_notes_stay_text(serve, site, diagnostics):
    site.start(request={"note": HOSTILE})
    site.attempt(params={"target": HOSTILE.replace("\ud800", "")})
    site.ledger.event(RUN, "halt", HOSTILE.replace("\ud800", ""))
    site.progress(phase=HOSTILE.replace("\ud800", ""))
    site.log(HOSTILE.replace("\ud800", ""))
    diagnostics(headline=HOSTILE)
    served = serve()
    for path in ("/", "/live", "/runs", f"/runs/{RUN}", "/reports"):
        answer = served.ask(path)
        assert answer.status == 200, path
        assert "<script>alert" not in answer.text, path
        assert "\u202e" not in answer.text, path
        assert "\x1b" not in answer.text, path
        assert "49" not in answer.text.partition("alert(1)")[2][:40], path
    assert "&lt;script&gt;alert(1)" in served.ask("/").text


def test_runs_are_listed_newest_first_with_the_way_to_older_ones(serve, site, diagnostics):
    for number in range(55):
        site.clock.later_s = number
        site.start(f"20261122-02{number:04}-aaaa")
        site.ledger.run_ended(f"20261122-02{number:04}-aaaa", "failed", 1, f"reason {number}")
    diagnostics("20261122-020054-aaaa")
    served = serve()
    page = served.ask("/runs").text
    assert page.index("020054") < page.index("020053")
    assert 'href="/reports/20261122-020054-aaaa"' in page
    assert "reason 4<" not in page
    assert 'href="/runs?limit=250"' in page
    assert "reason 4<" in served.ask("/runs?limit=250").text
    assert len(served.ask("/api/runs?limit=3").document["runs"]) == 3


def test_limit_that_cannot_be_is_refused(serve):
    served = serve()
    for limit in ("0", "-1", "x", "", "5001", "1" * 400, "1" + "0" * 9, "00050", "²"):
        assert served.ask(f"/runs?limit={quote(limit)}").status == 400, limit


def test_story_tells_why_a_run_went_as_it_did(serve, site):
    site.start(request={"start_step": 5})
    site.attempt(params={"trials": 7})
    site.ledger.decided(RUN, 5, 1, Decision("next", "step 5 is done"), {"outcome": "complete"})
    site.end(RESULT)
    served = serve()
    page = text_of(served.ask(f"/runs/{RUN}"))
    for wanted in ("trials = <code>7</code>", "decided: next", "step 5 is done", "start_step"):
        assert wanted in page, wanted
    assert served.ask(f"/api/runs/{RUN}").document["run_id"] == RUN


def test_what_is_not_there_is_not_found(serve, site):
    site.start()
    served = serve()
    for path in ("/runs/nope", "/runs/last", "/reports/nope", "/nowhere"):
        answer = served.ask(path)
        assert answer.status == 404, path
        assert "text/html" in answer.headers["Content-Type"], path


def test_json_problem_is_json(serve):
    answer = serve().ask("/api/runs/nope")
    assert (answer.status, answer.document["status"]) == (404, "error")


def test_no_address_opens_a_file_outside_the_diagnostics(serve, site, diagnostics):
    history = diagnostics().parent
    outside = site.workspace.root / "secret.json"
    outside.write_text('{"run_id": "the secret"}')
    outside.with_suffix(".html").write_text("the secret")
    (history / ".hidden.json").write_text('{"run_id": "the secret"}')
    for ending in ("json", "html"):
        (history / f"linked.{ending}").symlink_to(outside.with_suffix(f".{ending}"))
    served = serve()
    names = ["../../secret", "..%2f..%2fsecret", "%2e%2e%2f%2e%2e%2fsecret", "..%5csecret"]
    names += ["%2fetc%2fpasswd", ".hidden", "linked", "x" * 200, "a%00b", "secret%0a"]
    for name in names:
        for path in (f"/reports/{name}", f"/api/reports/{name}", f"/static/{name}"):
            answer = served.ask(path)
            assert answer.status == 404, path
            assert "the secret" not in answer.text, path
    assert "linked" not in served.ask("/reports").text


def test_earlier_attempt_of_a_run_is_no_report_of_its_own(serve, diagnostics):
    copy = diagnostics()
    earlier = copy.with_name(f"{copy.stem}-attempt1.json")
    earlier.write_text(copy.read_text())
    served = serve()
    assert served.ask(f"/reports/{earlier.stem}").status == 404
    assert earlier.stem not in served.ask("/reports").text


def test_report_is_served_in_a_sandbox(serve, site, diagnostics):
    diagnostics()
    before = all_files(site.workspace.root)
    answer = serve().ask(f"/reports/{RUN}")
    assert answer.status == 200
    assert "lightgbm" in answer.text
    assert "Plotly" in answer.text
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("sandbox allow-scripts")
    assert "allow-same-origin" not in policy
    assert "http" not in policy
    assert all_files(site.workspace.root) == before  # made in memory


def test_page_is_made_once_and_again_when_its_facts_change(serve, diagnostics):
    made = []
    served = serve(page=lambda run_id: made.append(run_id) or f"page {len(made)}")
    diagnostics()
    assert [served.ask(f"/reports/{RUN}").text for _ in range(2)] == ["page 1"] * 2
    diagnostics(headline="another one")
    assert served.ask(f"/reports/{RUN}").text == "page 2"


def test_only_the_last_pages_are_kept(serve, diagnostics):
    made = []
    served = serve(page=lambda run_id: made.append(run_id) or run_id)
    runs = [f"r{number}" for number in range(PAGES_KEPT + 1)]
    for run_id in runs:
        diagnostics(run_id)
    for run_id in (*runs, runs[1], runs[0]):
        assert served.ask(f"/reports/{run_id}").text == run_id
    assert made == [*runs, runs[0]]


def test_facts_of_a_report_are_json(serve, diagnostics):
    diagnostics()
    answer = serve().ask(f"/api/reports/{RUN}")
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.document["winner"] == "lightgbm"


def test_damaged_report_is_told_and_breaks_nothing(serve, diagnostics):
    path = diagnostics()
    served = serve()
    for content in ("", "[1]", "{", '{"run_id": 1}', "[" * 100_000):
        path.write_text(content)
        answer = served.ask(f"/reports/{RUN}")
        assert (answer.status, "damaged" in answer.text or "must be" in answer.text) == (500, True)
        assert served.ask(f"/api/reports/{RUN}").document["status"] == "error"
        assert served.ask("/reports").status == 200


def test_secrets_in_a_report_are_masked(serve, diagnostics):
    run = {
        "step": 5,
        "attempt": 1,
        "params": {"study_storage": "postgresql://me:hunter2@db/x"},
        "versions": {},
        "devices": [],
        "seconds": {},
        "splits_fingerprint": "",
    }
    diagnostics(run=run, headline="kept at postgresql://me:hunter2@db/x")
    served = serve()
    for path in (f"/reports/{RUN}", f"/api/reports/{RUN}"):
        text = served.ask(path).text
        assert "hunter2" not in text
        assert "me:***@db" in text


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_studies_are_told_with_their_counts_and_best(serve, site, kind):
    folder = site.workspace.root / "optuna_studies"
    storage = open_storage(kind, folder)
    study = optuna.create_study(storage=storage, study_name="t-lightgbm-0-r", direction="maximize")
    for value in (0.25, 0.75):
        study.tell(study.ask(), value)
    study.tell(study.ask(), state=optuna.trial.TrialState.FAIL)
    study.tell(study.ask(), state=optuna.trial.TrialState.PRUNED)
    study.ask()
    for kind_of, value in (("completes", 0.5), ("confirms", 0.25)):
        # A finalist on all folds, and the best at full resolution: no trials of their own.
        trial = study.ask()
        trial.set_user_attr(kind_of, 3)
        study.tell(trial, value)
    served = serve()
    (file,) = served.ask("/api/studies").document["files"]
    (facts,) = file["studies"]
    last_at = datetime.fromisoformat(facts.pop("last_at"))
    assert abs(datetime.now(UTC) - last_at) < timedelta(minutes=5)
    wanted = {"complete": 3, "pruned": 0, "failed": 1, "open": 1, "best": 0.75}
    assert facts == {"name": "t-lightgbm-0-r"} | wanted
    page = served.ask("/studies").text
    assert "0.7500" in page
    assert "optuna-dashboard " in page
    study.tell(study.ask(), 0.875)
    assert "0.8750" in served.ask("/studies").text


def test_damaged_studies_are_told(serve, site):
    folder = site.workspace.root / "optuna_studies"
    folder.mkdir()
    (folder / SQLITE_FILE).write_text("no database")
    assert "cannot be read" in serve().ask("/studies").text
    (folder / SQLITE_FILE).unlink()
    sqlite3.connect(folder / SQLITE_FILE).execute("CREATE TABLE x (y)").connection.close()
    assert "no such table" in serve().ask("/studies").text


def test_looking_changes_nothing_in_the_workspace(serve, site, diagnostics):
    site.start()
    site.attempt()
    site.progress()
    site.end(RESULT)
    diagnostics()
    open_storage("sqlite", site.workspace.root / "optuna_studies")
    served = serve()
    before = all_files(site.workspace.root)
    for path in ("/", "/live", "/runs", f"/runs/{RUN}", "/reports", f"/reports/{RUN}", "/studies"):
        assert served.ask(path).status == 200, path
    assert all_files(site.workspace.root) == before


def test_workspace_that_goes_away_is_told_and_may_come_back(serve, site, tmp_path):
    site.start()
    served = serve()
    assert served.ask("/live").status == 200
    away = site.workspace.root.rename(tmp_path / "away")
    answer = served.ask("/live")
    assert (answer.status, answer.headers["Content-Type"]) == (503, "text/plain; charset=utf-8")
    assert "is gone" in answer.text
    assert served.ask("/runs").status == 503
    away.rename(site.workspace.root)
    assert served.ask("/live").status == 200


def test_damaged_ledger_is_told(serve, site):
    site.ledger.__exit__()
    for path in site.workspace.state_folder.glob("ledger.sqlite*"):
        path.write_text("no ledger" * 100)
    served = serve()
    assert served.ask("/").status == 503
    assert "ledger" in served.ask("/api/status").document["message"]


def test_policy_in_force_has_no_part_in_who_may_look(serve, site):
    site.policy = Policy(halt=True, halt_reason="night")
    assert "night" in serve().ask("/").text
