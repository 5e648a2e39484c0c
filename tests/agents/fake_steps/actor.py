"""A step that does what its parameter `act` says."""

import datetime
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from steps.contract import (
    Awaiting,
    Estimate,
    FamilyProgress,
    FamilyResult,
    Note,
    Output,
    Progress,
    Scores,
    Signal,
    StepError,
    StepRequest,
    StepResult,
    TrialNow,
)
from steps.entry import run_step, stop_requested
from steps.errors import StepRefused
from steps.files import replace_quickly, sha256_file, write_text_atomic


def run(request: StepRequest) -> StepResult:
    print(f"acting {request.params['act']}", flush=True)
    write_text_atomic(Path(request.out_dir) / "pid", str(os.getpid()))
    return globals()[f"act_{request.params['act']}"](request)


def act_complete(request: StepRequest) -> StepResult:
    write_progress(request, "searching", complete=2)
    output = Path(request.workspace) / "out" / "winner.txt"
    write_text_atomic(output, "a winner")
    r2 = Estimate(value=0.8123, ci95=(0.79, 0.83))
    scores = Scores(r2=r2, rmse=Estimate(value=12.5), mae=Estimate(value=9.25))
    return result(
        request,
        headline="catboost explains most of the target",
        outputs=(Output(path="out/winner.txt", sha256=sha256_file(output), bytes=8),),
        winner="catboost",
        signal=Signal(verdict="strong", reasons=("the holdout R2 is far above 0",)),
        families={
            "catboost": FamilyResult(
                status="complete", cv=scores, holdout=scores, trials_complete=18, trials_pruned=2
            ),
            "neural_net": FamilyResult(status="failed", error="every trial diverged"),
        },
        notes=(Note(level="warning", code="constant_feature", message="column c is constant"),),
        what_next=("watcher --predict new.csv --output predictions.csv",),
    )


def act_diagnosed(request: StepRequest) -> StepResult:
    """Trains, finds nothing, and leaves its diagnostics, as Step 5 does."""
    # Imported where it is needed: every test of the watcher starts this module.
    from steps.contract.diagnostics import (
        FILE,
        FOLDER,
        HISTORY,
        FamilyDiagnostics,
        TrainingDiagnostics,
    )

    verdict = Signal(verdict="none", reasons=("the holdout R2 is not above 0",))
    found = TrainingDiagnostics(
        run_id=request.run_id,
        created_at=datetime.datetime.now(datetime.UTC),
        headline="nothing to predict",
        collected=True,
        winner=None,
        signal=verdict,
        families={"lightgbm": FamilyDiagnostics(severity="ok", findings=(), status="complete")},
    )
    folder = Path(request.workspace) / FOLDER
    for path in (folder / HISTORY / f"{request.run_id}.json", folder / FILE):
        write_text_atomic(path, found.model_dump_json())
    return result(
        request,
        status="no_signal",
        headline="nothing to predict",
        signal=verdict,
        families={"lightgbm": FamilyResult(status="complete")},
    )


def act_no_signal(request: StepRequest) -> StepResult:
    verdict = Signal(verdict="none", reasons=("the holdout R2 is not above 0",))
    return result(request, status="no_signal", headline="nothing to predict", signal=verdict)


def act_fail(request: StepRequest) -> StepResult:
    raise ValueError("the moon is in the wrong place")


def act_memory(request: StepRequest) -> StepResult:
    raise MemoryError


def act_bad_input(request: StepRequest) -> StepResult:
    raise StepRefused("bad_input", "table.csv: column price must be numeric, got text in row 3")


def act_traceback(request: StepRequest) -> StepResult:
    text = "oops at depth 0\n" + "\n".join(f"  line {i} of the library" for i in range(40))
    families = {"catboost": FamilyResult(status="failed", error=text)}
    error = StepError(kind="internal", message=f"no family has a model: catboost: {text}")
    return result(request, status="failed", headline="failed", families=families, error=error)


def act_flaky(request: StepRequest) -> StepResult:
    return act_fail(request) if request.attempt < 3 else act_complete(request)


def act_silent(request: StepRequest) -> StepResult:
    time.sleep(120)
    return result(request)


def act_deaf(request: StepRequest) -> StepResult:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen(["sleep", "120"], start_new_session=True)
    write_text_atomic(Path(request.out_dir) / "grandchild", str(child.pid))
    return act_silent(request)


def act_spew(request: StepRequest) -> StepResult:
    for _ in range(60):
        os.write(2, b"x" * 999_999 + b"\n")
    os.write(2, b"the last line\n")
    return result(request)


def act_grandchild(request: StepRequest) -> StepResult:
    child = subprocess.Popen(["sleep", "120"], start_new_session=True)
    write_text_atomic(Path(request.out_dir) / "grandchild", str(child.pid))
    child.returncode = 0  # not ours to wait for
    return result(request)


def act_segfault(request: StepRequest) -> StepResult:
    os.kill(os.getpid(), signal.SIGSEGV)
    return result(request)


def act_polite(request: StepRequest) -> StepResult:
    write_progress(request, "searching", complete=1)
    while not stop_requested():
        time.sleep(0.02)
    return result(request, status="halted", headline="stopped after 1 trial; it is kept")


def act_halting_first(request: StepRequest) -> StepResult:
    """Makes the halt file itself, and stops as it says; complete when it is tried again."""
    from steps.policies import HALT_FILE

    if request.attempt > 1:
        return act_complete(request)
    (Path(request.workspace) / HALT_FILE).write_text("the room is too hot")
    return act_polite(request)


def act_stubborn(request: StepRequest) -> StepResult:
    """Hears no signal and is complete once the file `go` lies in the workspace."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    write_text_atomic(Path(request.out_dir) / "ready", str(os.getpid()))
    while not (Path(request.workspace) / "go").exists():
        time.sleep(0.02)
    return act_complete(request)


def act_polite_first(request: StepRequest) -> StepResult:
    return act_polite(request) if request.attempt == 1 else act_complete(request)


def act_silent_first(request: StepRequest) -> StepResult:
    return act_silent(request) if request.attempt == 1 else act_complete(request)


def act_fresh_then_fail(request: StepRequest) -> StepResult:
    """Complete in its first run; later runs fail once, with its outputs in place."""
    output = Path(request.workspace) / "out" / "winner.txt"
    if output.exists() and request.attempt == 1:
        return act_fail(request)
    return act_complete(request)


def act_ill(request: StepRequest) -> StepResult:
    """Done, but its winner is ill unless the rate is low."""
    done = act_complete(request)
    if request.params["rate"] < 0.2:
        return done
    note = Note(level="critical", code="diverged", message="9 of 10 trials diverged")
    ill = done.families["catboost"].model_copy(update={"severity": "critical", "notes": (note,)})
    return done.model_copy(update={"families": {**done.families, "catboost": ill}})


def act_awaiting(request: StepRequest) -> StepResult:
    awaiting = Awaiting(
        what="publish",
        agent="acting",
        version="models/.versions/new",
        in_force=None,
        reason="holdout R2 0.5 is below 0.8 of the one in force",
    )
    return act_complete(request).model_copy(update={"awaiting": awaiting})


def act_diagnose(request: StepRequest) -> StepResult:
    """Writes a diagnostics file of its own run."""
    path = Path(request.workspace) / "out" / "diagnostics.json"
    write_text_atomic(path, json.dumps({"run_id": request.run_id, "score": 0.7}))
    return act_complete(request)


def act_foreign(request: StepRequest) -> StepResult:
    foreign = result(request).model_copy(update={"run_id": "20200101-000000-aaaa"})
    write_text_atomic(request.result_path, foreign.model_dump_json())
    os._exit(0)


def act_liar(request: StepRequest) -> StepResult:
    output = Output(path="out/never.txt", sha256="0" * 64, bytes=8)
    return result(request, outputs=(output,))


def act_descend(request: StepRequest) -> StepResult:
    code = (
        "import os, time; from steps.entry import die_with_parent; die_with_parent(); "
        f"open({str(Path(request.out_dir) / 'grandchild')!r}, 'w').write(str(os.getpid())); "
        "time.sleep(120)"
    )
    environ = {**os.environ, "WATCHER_PARENT_PID": str(os.getpid())}
    subprocess.Popen([sys.executable, "-c", code], env=environ, start_new_session=True)
    return act_silent(request)


def act_predict(request: StepRequest) -> StepResult:
    path = Path(request.params["output"])
    write_text_atomic(path, "row,prediction\n0,1.5\n")
    size = path.stat().st_size
    output = Output(path=str(path), sha256=sha256_file(path), bytes=size)
    return result(request, headline="1 row scored", outputs=(output,))


def result(request: StepRequest, **facts: object) -> StepResult:
    values = {"status": "complete", "headline": "done", **facts}
    return StepResult(run_id=request.run_id, step=request.step, attempt=request.attempt, **values)


def write_progress(request: StepRequest, phase: str, complete: int) -> None:
    running = (TrialNow(trial=complete, fold=1, folds=5, device="cpu-slot-0"),)
    progress = Progress(
        run_id=request.run_id,
        step=request.step,
        attempt=request.attempt,
        updated_at=datetime.datetime.now(datetime.UTC),
        phase=phase,
        families={
            "catboost": FamilyProgress(trials=20, complete=complete, best=0.75, running=running)
        },
        elapsed_s=1.5,
        time_left_s=30,
    )
    replace_quickly(request.progress_path, progress.model_dump_json())


if __name__ == "__main__":
    sys.exit(run_step(run))
