"""Messages between a parent and its workers, each one JSON object on one line.

The `train` and `train_batch` forms are public: people type them into a shell. Inside the product
a job has an id; a trial covers all its folds, of a table folder (gpu.worker.data) that workers map.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from gpu.params import Family
from gpu.protocol.folds import FoldScore as FoldScore
from gpu.protocol.folds import PruneRule as PruneRule
from gpu.protocol.seeds import SiftDone, SiftSeeds

MAX_LINE_BYTES = 8 << 20

FailureKind = Literal["oom", "bad_job", "diverged", "internal", "crashed", "timeout", "cancelled"]


class ProtocolError(ValueError):
    """A line that is not one of the messages; the message says what was wrong with it."""


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ShellTrain(_Message):
    """Train one fold of an .npz with X_train, y_train, X_val, y_val; params may be partial."""

    command: Literal["train"]
    X_train_path: str
    params: dict[str, Any] = Field(default_factory=dict)
    trial_number: int = 0
    fold_idx: int = 0
    seed: int = 0
    normalize_features: bool | None = None
    use_leaky_relu: bool | None = None
    batch_mode: Literal["auto", "full", "mini"] | None = None


class TrainTrial(_Message):
    """Train and validate one parameter record on folds of a table.

    begun: scores of the first of `folds`, which an earlier job of the trial has fitted; what it
    left at predictions_path and curves_path is carried on. curves_path: for the folds' loss curves
    (observations.TrialCurves), which change no result.
    """

    command: Literal["train_trial"] = "train_trial"
    id: str
    family: Family
    trial_number: int
    params: dict[str, Any]
    table: str
    folds: tuple[int, ...]
    begun: tuple[FoldScore, ...] = ()
    seed: int
    predictions_path: str
    curves_path: str | None = None
    prune: PruneRule | None = None
    deadline_s: float | None = None

    @model_validator(mode="after")
    def _begun_folds_come_first(self) -> Self:
        begun = tuple(score.fold for score in self.begun)
        if begun and (begun != self.folds[: len(begun)] or len(begun) == len(self.folds)):
            raise ValueError(f"begun folds {begun} are not the first of folds {self.folds}")
        return self


class TrainBatch(_Message):
    """Networks that train together; each job is answered by a line of its own.

    jobs: all of the shell form, or all trials of one table. n_concurrent: most networks in one
    computation (a trial is as many as it has folds); 0: as many as memory allows. id, deadline_s:
    of the batch as a whole, where a pool sent it.
    """

    command: Literal["train_batch"] = "train_batch"
    jobs: Annotated[
        tuple[Annotated[ShellTrain | TrainTrial, Field(discriminator="command")], ...],
        Field(min_length=1),
    ]
    n_concurrent: Annotated[int, Field(ge=0)] = 0
    id: str | None = None
    deadline_s: float | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if len({type(job) for job in self.jobs}) > 1:
            raise ValueError("jobs must be all train or all train_trial")
        return self

    @property
    def trials(self) -> tuple[TrainTrial, ...]:
        """The jobs, where they are trials."""
        return tuple(job for job in self.jobs if isinstance(job, TrainTrial))


class FinalFit(_Message):
    """Refit a trial's record on all search rows for a fixed number of rounds, and save it.

    observations_path: for observations.FitObservations, which change no result and fail no fit.
    """

    command: Literal["final_fit"] = "final_fit"
    id: str
    family: Family
    trial_number: int
    params: dict[str, Any]
    rounds: Annotated[int, Field(ge=1)]
    table: str
    seed: int
    checkpoint_path: str
    preprocessing_path: str
    predictions_path: str
    observations_path: str | None = None
    deadline_s: float | None = None


class PredictRows(_Message):
    """Score encoded rows with a checkpoint whose bytes must have the given SHA-256.

    preprocessing_path: JSON with "kinds" and "levels" of the columns and "model", what the final
    fit wrote. It is a file because a column of many levels makes it larger than a line may be.
    """

    command: Literal["predict"] = "predict"
    id: str
    family: Family
    checkpoint_path: str
    checkpoint_sha256: str
    preprocessing_path: str
    rows_path: str
    predictions_path: str
    deadline_s: float | None = None


class Ping(_Message):
    """Ask whether the worker still answers."""

    command: Literal["ping"]


class Shutdown(_Message):
    """Ask the worker to exit with status 0."""

    command: Literal["shutdown"]


Job = TrainTrial | FinalFit | PredictRows | SiftSeeds
AnyCommand = ShellTrain | TrainBatch | Job | Ping | Shutdown


class Ready(_Message):
    """The worker can train."""

    status: Literal["ready"] = "ready"
    family: Family
    device: str
    pid: int


class Pong(_Message):
    """Answer to a ping."""

    status: Literal["pong"] = "pong"
    pid: int


class ShellDone(_Message):
    """Answer to a ShellTrain. r2, val_mse: on X_val; mse in squared units of the target."""

    status: Literal["complete"] = "complete"
    model_type: Family
    trial_number: int
    fold_idx: int
    r2: float
    val_mse: float
    train_mse: float
    duration: float
    device: str
    epochs_run: int
    checkpoint_path: str | None = None


class FoldDone(_Message):
    """A fold of a running trial has been fitted."""

    status: Literal["fold"] = "fold"
    id: str
    score: FoldScore


class TrialDone(_Message):
    """A trial has ended: every fold fitted, or stopped by its prune rule.

    scores: with those that were begun. networks: trained in one computation, this trial's
    included; None where none are fused.
    """

    status: Literal["trial_complete"] = "trial_complete"
    id: str
    scores: tuple[FoldScore, ...]
    pruned: bool
    duration_s: float
    device: str
    peak_rss_mib: float
    networks: int | None = None


class FitDone(_Message):
    """A final fit lies at the job's paths: checkpoint, preprocessing, holdout predictions."""

    status: Literal["fit_complete"] = "fit_complete"
    id: str
    checkpoint_sha256: str
    train_mse: float
    duration_s: float
    device: str
    library_version: str


class PredictDone(_Message):
    """Predictions lie at the job's predictions_path, float64 (n_rows,)."""

    status: Literal["predict_complete"] = "predict_complete"
    id: str
    n_rows: int


class TrainFailed(_Message):
    """Why a job has no result. A failure is this type, never a score."""

    status: Literal["error"] = "error"
    kind: FailureKind
    message: str
    id: str | None = None
    trial_number: int | None = None
    fold_idx: int | None = None


Outcome = TrialDone | FitDone | PredictDone | SiftDone | TrainFailed
Reply = Ready | Pong | ShellDone | FoldDone | Outcome

_COMMANDS: TypeAdapter[Any] = TypeAdapter(Annotated[AnyCommand, Field(discriminator="command")])
_REPLIES: TypeAdapter[Any] = TypeAdapter(Annotated[Reply, Field(discriminator="status")])


def encode(message: BaseModel) -> bytes:
    """One line of JSON in UTF-8, newline included. Non-finite numbers are refused."""
    try:
        # Not mode="json": that turns a NaN among a job's params into null, in silence.
        text = json.dumps(message.model_dump(), allow_nan=False)
    except ValueError as error:
        raise ProtocolError(f"{type(message).__name__} cannot be sent: {error}") from None
    return text.encode() + b"\n"


def decode_command(line: bytes) -> AnyCommand:
    """Read a line that a worker received; raises ProtocolError."""
    command: AnyCommand = _decode(line, _COMMANDS, "command")
    return command


def decode_reply(line: bytes) -> Reply:
    """Read a line that a parent received; raises ProtocolError."""
    reply: Reply = _decode(line, _REPLIES, "reply")
    return reply


def _decode(line: bytes, adapter: TypeAdapter[Any], what: str) -> Any:
    if len(line) > MAX_LINE_BYTES:
        raise ProtocolError(f"{what} of {len(line)} bytes is over the limit of {MAX_LINE_BYTES}")
    try:
        raw = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"{what} is not JSON: {error}") from None
    try:
        return adapter.validate_python(raw)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in fault["loc"]) or what
        raise ProtocolError(f"{what} refused: {key}: {fault['msg']}") from None
