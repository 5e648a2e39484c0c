"""The files by which the steps of the forensics speak to each other, as frozen values.

Every one carries the run that wrote it. Draws are numbered from 0 within a stream: "all" is the
whole history in order, "session evening" the draws of that session alone. Logarithms are natural
unless the name says log10.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import Field, ValidationError

from steps.contract import Frozen, Note
from steps.errors import StepRefused
from steps.files import write_text_atomic
from steps.forensics.candidate_record import CandidateRecord as CandidateRecord  # noqa: PLC0414
from steps.policies import validation_message

REGIMES_FILE = "regimes.json"
WINDOW_FILE = "optimal_window_config.json"
TRAIN_FILE = "train_history.json"
HOLDOUT_FILE = "holdout_history.json"
SURVIVORS_FILE = "survivors.parquet"
SCORER_FILE = "scorer_config.json"
SCORED_FILE = "survivors_with_scores.parquet"
ENGINE_FILE = "reinforcement_engine_config.json"
PREDICTION_FILE = "predictions/next_draw_prediction.json"
# One plain report a step, Markdown.
REPORTS_FOLDER = "forensics"

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class HistoryFacts(Frozen):
    """A draw history as it was read: values of low..low + modulus - 1. draws: readable or not.

    draw_column: where the draws stood. streams: "all" first, then one for each session where there
    are several.
    """

    path: str
    sha256: str
    draws: int
    unread: int
    low: int
    modulus: int
    draw_column: str
    sessions: tuple[str, ...]
    streams: tuple[str, ...]
    first_date: str | None
    last_date: str | None
    notes: tuple[Note, ...] = ()


class HypothesisTest(Frozen):
    """One statistical test. hypotheses: how many things it looked at, itself; p_corrected: after
    Holm's correction for all tests of its document.
    """

    name: str
    statistic: float
    p_value: float
    p_corrected: float
    hypotheses: int = 1
    sentence: str


class Segment(Frozen):
    """Draws first..stop - 1 of stream "all"."""

    first: int
    stop: int


class Regimes(Frozen):
    """Step 0: where the machine changed. segments: in order, without gaps; one where it did not.

    uniform: False where the draws favour some values beyond chance. alpha: beyond chance are tests
    with a p_corrected of so much or less.
    """

    schema_version: Literal[1] = 1
    run_id: str
    created_at: datetime
    history: HistoryFacts
    tests: tuple[HypothesisTest, ...]
    segments: tuple[Segment, ...]
    uniform: bool
    alpha: float = 0.01
    headline: str


class SearchRecord(Frozen):
    """One search of Step 1, tried or not. first, stop: the draws of the stream that it was given.

    not_tried: the reason, where it could not be made; draws_wanted: how many would do, where
    draws were too few. best_score: nats, of the best candidate held against the whole window.
    seeds: how many were tried; None where algebra covers every state.
    """

    stream: str
    first: int
    stop: int
    generator: str
    mapping: str
    method: Literal["algebra", "seeds"]
    seeding: str | None = None
    seeds: int | None = None
    gaps: int = 1
    largest_gap: int = 0
    offsets: int = 1
    corruption: float = 0.0
    missing_rate: float = 0.0
    log10_hypotheses: float = 0.0
    candidates: int = 0
    best_score: float | None = None
    found: bool = False
    complete: bool = False
    not_tried: str | None = None
    draws_wanted: int | None = None
    seconds: float = 0.0


class PowerRow(Frozen):
    """What the search would have caught: draws_wanted of this generator and mapping, with so many
    draws wrong, against the draws there were. seeds: how many were searched, of the method seeds.
    """

    generator: str
    mapping: str
    method: Literal["algebra", "seeds"]
    corruption: float
    largest_gap: int
    draws_wanted: int | None
    enough: bool
    seeds: int | None = None


class WindowConfig(Frozen):
    """Step 1: what was tried and what was found. train, holdout: how many draws, in order.

    found: proven candidates only, the best first. hypotheses_tried: None where the number is
    beyond 1e300; log10_hypotheses always is there. train_sha256, holdout_sha256, survivors_sha256:
    of the files that belong to this document (steps.forensics.lineage). cycle: where the draws to
    learn from are those of so many draws before, far beyond chance: a fixed cycle of so few values
    explains them, and no generator is found behind it.
    """

    schema_version: Literal[1] = 1
    run_id: str
    created_at: datetime
    history: HistoryFacts
    train: int
    holdout: int
    verdict: Literal["seed found", "nothing found", "insufficient data"]
    found: tuple[CandidateRecord, ...]
    searches: tuple[SearchRecord, ...]
    power: tuple[PowerRow, ...]
    hypotheses_tried: int | None
    log10_hypotheses: float
    survivors: int
    train_sha256: Sha256
    holdout_sha256: Sha256
    survivors_sha256: Sha256
    cycle: int | None = None
    headline: str


class ScorerConfig(Frozen):
    """Step 2: how candidates are scored. recency_draws: draws after which a match counts half as
    much, None for all alike; corruption: the share of wrong draws that the likelihood allows for.
    log_loss: nats a draw, of forward-chained predictions inside train, with the defaults and with
    what was chosen.
    """

    schema_version: Literal[1] = 1
    run_id: str
    created_at: datetime
    recency_draws: int | None
    corruption: float
    lane_weight: float
    log_loss_default: float | None
    log_loss_chosen: float | None
    defaults_kept: bool
    sentence: str


class EngineConfig(Frozen):
    """Step 4: parameters of Step 5 that fit one table and one machine.

    table, sha256: the table they are for; params: names and values of Step 5's own parameters,
    which hold where nobody has given another one.
    """

    schema_version: Literal[1] = 1
    run_id: str
    created_at: datetime
    table: str
    sha256: str
    rows: int
    columns: int
    cpus: int
    time_budget_minutes: float | None
    params: dict[str, int | float | str | bool | None]
    reasons: tuple[str, ...]


class PoolDraw(Frozen):
    """One value of the next draw, as the history writes it, and its probability."""

    draw: int
    probability: float


class StreamPrediction(Frozen):
    """Step 6: the next draws of one more stream that has a source of its own, in order.

    confidence: the probability of the first of them.
    """

    stream: str
    next_draws: tuple[int, ...]
    confidence: float
    source: CandidateRecord


class Prediction(Frozen):
    """Step 6: the verdict, and the next draw where there is something to say about it.

    verdict: "not uniform" where no generator was found, and the draws are not uniform and
    independent.

    candidates: values by probability, the likeliest first, as many as the widest pool; empty where
    prediction is refused. pools: name to values (tight 20, balanced 100, wide 300, at most M).
    next_draws: in order, where a state was found and goes on. tests: of the replay over the
    holdout. explanation: sentences. other_streams: where the next draws are of one session, those
    of others that have a source too.
    """

    schema_version: Literal[1] = 1
    run_id: str
    created_at: datetime
    verdict: Literal["seed found", "not uniform", "no better than chance", "insufficient data"]
    headline: str
    explanation: tuple[str, ...]
    candidates: tuple[PoolDraw, ...] = ()
    pools: dict[str, tuple[int, ...]] = Field(default_factory=dict)
    next_draws: tuple[int, ...] = ()
    other_streams: tuple[StreamPrediction, ...] = ()
    stream: str | None = None
    confidence: float | None = None
    source: CandidateRecord | None = None
    tests: tuple[HypothesisTest, ...] = ()
    log_loss: float | None = None
    log_loss_uniform: float | None = None
    hypotheses_tried: int | None = None
    log10_hypotheses: float = 0.0
    power: tuple[PowerRow, ...] = ()
    draws_wanted: int | None = None
    model_run_id: str | None = None
    signal: str | None = None


Document = TypeVar("Document", bound=Frozen)


def write_document(path: Path, document: Frozen) -> None:
    """Write a document atomically."""
    write_text_atomic(path, document.model_dump_json(indent=1) + "\n")


def read_document(path: Path, kind: type[Document]) -> Document:
    """Read a document; raises StepRefused that names file and key."""
    try:
        return kind.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise StepRefused("bad_input", f"{path}: cannot be read: {error}") from error
    except ValidationError as error:
        raise StepRefused("bad_input", f"{path}: {validation_message(error)}") from error
