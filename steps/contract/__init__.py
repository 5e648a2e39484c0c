"""What the watcher and a step say to each other: a request file in, a result file out.

The watcher writes a StepRequest, starts the step's module with `--request FILE`, polls the
Progress file while the step runs, and reads the StepResult when it has ended. Nothing is inferred
from a file's name or age: each carries the run and the attempt it belongs to.
"""

from __future__ import annotations

from datetime import datetime
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

REQUEST_FILE = "request.json"
RESULT_FILE = "result.json"
PROGRESS_FILE = "progress.json"
LOG_FILE = "log.txt"


class ExitCode(IntEnum):
    """What the `watcher` command exits with."""

    DONE = 0
    STEP_FAILED = 1
    USAGE = 2
    HALTED = 10
    WAITING_FOR_APPROVAL = 11
    NO_SIGNAL = 12
    TIMEOUT = 124
    INTERRUPTED = 130


class Frozen(BaseModel):
    """A value at a door: unknown keys are refused, nothing changes after it was read."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class StepRequest(Frozen):
    """One attempt at one step. Paths are absolute; params are complete and inside their bounds.

    policy: the policy that the watcher has in force, for a step that meets a half-saved file.
    given: the parameters that a person or a retry has set; the others are as the manifest has them.
    """

    run_id: str
    step: int
    attempt: Annotated[int, Field(ge=1)]
    params: dict[str, Any]
    given: tuple[str, ...] = ()
    inputs: dict[str, str]
    workspace: str
    policy_path: str
    policy: dict[str, Any] | None = None
    out_dir: str

    @property
    def result_path(self) -> Path:
        """Where the step writes its StepResult."""
        return Path(self.out_dir) / RESULT_FILE

    @property
    def progress_path(self) -> Path:
        """Where the step writes its latest Progress."""
        return Path(self.out_dir) / PROGRESS_FILE


class Note(Frozen):
    """Something a person should know. code: a stable word such as "constant_feature"."""

    level: Literal["info", "warning", "critical"]
    code: str
    message: str


class Estimate(Frozen):
    """A metric with its 95 % bootstrap interval (low, high), None where it was not computed."""

    value: float
    ci95: tuple[float, float] | None = None


class Scores(Frozen):
    """R2 and Spearman's rank correlation (no unit); RMSE and MAE in units of the target."""

    r2: Estimate
    rmse: Estimate
    mae: Estimate
    spearman: Estimate | None = None


class FamilyResult(Frozen):
    """What one model family came to. Only a complete one has scores; the others say why in error.

    skipped: the policy or the skip registry does not let it train. stopped: people ended the run
    before it was done.
    """

    status: Literal["complete", "failed", "skipped", "stopped"]
    severity: Literal["ok", "warning", "critical"] = "ok"
    cv: Scores | None = None
    holdout: Scores | None = None
    trials_complete: int = 0
    trials_pruned: int = 0
    trials_failed: int = 0
    folds_fitted: int = 0
    folds_pruned: int = 0
    best_trial: int | None = None
    params: dict[str, Any] | None = None
    training_s: float = 0.0
    checkpoint: str | None = None
    error: str | None = None
    notes: tuple[Note, ...] = ()


class Signal(Frozen):
    """Is there anything to predict? reasons: the sentences the verdict rests on.

    exclude_features: the parameter to run again with, where features give the target away.
    p_value: of the holdout's permutation test against the mean predictor, corrected for the
    families compared; None where none was made.
    """

    verdict: Literal["strong", "weak", "none", "leaked"]
    reasons: tuple[str, ...]
    leaked_features: tuple[str, ...] = ()
    exclude_features: tuple[str, ...] = ()
    p_value: float | None = None


class Output(Frozen):
    """A file the step leaves behind; path is relative to the workspace."""

    path: str
    sha256: str
    bytes: int


class StepError(Frozen):
    """Why a step did not complete. bad_input and usage are never retried."""

    kind: Literal["bad_input", "usage", "out_of_memory", "internal", "blocked"]
    message: str
    detail: str = ""


class Awaiting(Frozen):
    """What a step has left undone until a person approves: `watcher --approve RUN`.

    agent: whose models they are. version: the folder of the models that wait, from the workspace.
    in_force: the version folder that they would replace, None if they would replace none; the
    approval holds as long as that is in force. reason: a sentence with the numbers that the
    question rests on.
    """

    what: Literal["publish"]
    agent: str
    version: str
    in_force: str | None
    reason: str


class StepResult(Frozen):
    """What a step says of itself when it ends. headline: one sentence for the first line."""

    run_id: str
    step: int
    attempt: int
    status: Literal["complete", "failed", "halted", "no_signal"]
    headline: str
    outputs: tuple[Output, ...] = ()
    metrics: dict[str, float] = Field(default_factory=dict)
    families: dict[str, FamilyResult] = Field(default_factory=dict)
    winner: str | None = None
    signal: Signal | None = None
    notes: tuple[Note, ...] = ()
    what_next: tuple[str, ...] = ()
    awaiting: Awaiting | None = None
    error: StepError | None = None


class TrialNow(Frozen):
    """A trial that trains at this moment. fold counts finished folds."""

    trial: int
    fold: int
    folds: int
    device: str


class FamilyProgress(Frozen):
    """Where one study stands.

    best: mean R2 over folds of the best complete trial; while none is, of the one that leads on the
    folds that rank them.
    """

    trials: int
    complete: int = 0
    pruned: int = 0
    failed: int = 0
    best: float | None = None
    running: tuple[TrialNow, ...] = ()

    @property
    def finished(self) -> int:
        """Trials in a final state."""
        return self.complete + self.pruned + self.failed


class Progress(Frozen):
    """A snapshot of a running step, replaced atomically a few times a second at most."""

    run_id: str
    step: int
    attempt: int
    updated_at: datetime
    phase: str
    families: dict[str, FamilyProgress] = Field(default_factory=dict)
    elapsed_s: float = 0.0
    time_left_s: float | None = None
    message: str = ""
