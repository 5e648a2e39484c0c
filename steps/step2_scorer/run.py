"""The story of Step 2: read the candidates and train, try parameters, keep the defaults or not."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from steps.contract import StepRequest, StepResult
from steps.entry import stop_requested
from steps.errors import StepRefused
from steps.files import write_text_atomic
from steps.forensics.candidates import read_survivors
from steps.forensics.documents import (
    SCORER_FILE,
    ScorerConfig,
    WindowConfig,
    read_document,
    write_document,
)
from steps.forensics.lineage import check_lineage
from steps.forensics.mixture import Belief
from steps.forensics.parts import read_part
from steps.forensics.settings import read_settings
from steps.progress import StepProgress
from steps.results import halted, outputs_in
from steps.step2_scorer.choice import CORRUPTIONS, BeforeEach, Choice, choose
from steps.step2_scorer.evidence import evidence_of
from steps.step2_scorer.report import REPORT_FILE, scorer_report, sentence_of
from steps.step2_scorer.settings import ScorerSettings


class _Stopped(Exception):
    """People asked the step to stop."""


def run(request: StepRequest) -> StepResult:
    """Choose the scorer's parameters; see docs/chapter-02-scorer.md for the whole account."""
    progress = StepProgress(request)
    settings = read_settings(ScorerSettings, request.params)
    progress.say("reading the candidates")
    window = read_document(Path(request.inputs["window"]), WindowConfig)
    inputs = {name: Path(path) for name, path in request.inputs.items()}
    notes = check_lineage(window, inputs, Path(request.workspace))
    default = Belief(
        window.history.modulus,
        settings.scorer_corruption,
        recency_draws=settings.scorer_recency_draws,
    )

    def before_each(belief: Belief) -> None:
        if stop_requested():
            raise _Stopped
        recency = belief.recency_draws or "no"
        progress.say("predicting", f"corruption {belief.corruption:g}, recency {recency}")

    try:
        choice = _choice(request, window, default, before_each) if settings.tune_scorer else None
    except _Stopped:
        return halted(request, "Stopped before all parameters were tried; nothing was written.")
    belief = default if choice is None else choice.belief
    config = ScorerConfig(
        run_id=request.run_id,
        created_at=datetime.now(UTC),
        recency_draws=belief.recency_draws,
        corruption=belief.corruption,
        lane_weight=belief.lane_weight,
        log_loss_default=None if choice is None else choice.log_loss_default,
        log_loss_chosen=None if choice is None else choice.log_loss_chosen,
        defaults_kept=belief == default,
        sentence=sentence_of(choice, default, tuned=settings.tune_scorer),
    )
    workspace = Path(request.workspace)
    write_document(workspace / SCORER_FILE, config)
    write_text_atomic(workspace / REPORT_FILE, scorer_report(config, choice, belief))
    return StepResult(
        run_id=request.run_id,
        step=request.step,
        attempt=request.attempt,
        status="complete",
        headline=config.sentence,
        outputs=outputs_in(workspace, SCORER_FILE, REPORT_FILE),
        metrics={}
        if choice is None
        else {
            "log_loss_default": choice.log_loss_default,
            "log_loss_chosen": choice.log_loss_chosen,
        },
        notes=notes,
    )


def _choice(
    request: StepRequest, window: WindowConfig, default: Belief, before_each: BeforeEach
) -> Choice | None:
    """None where no candidate has any weight: then every parameter predicts alike."""
    train = read_part(Path(request.inputs["train"]), window.history)
    survivors = Path(request.inputs["survivors"])
    candidates = read_survivors(survivors)
    for row, candidate in enumerate(candidates):
        if candidate.modulus != window.history.modulus:
            raise StepRefused(
                "bad_input",
                f"{survivors}: row {row + 1}: modulus must be {window.history.modulus}, got "
                f"{candidate.modulus}",
            )
    tried = (default.corruption, *CORRUPTIONS)
    streams = evidence_of(candidates, train, (min(tried), max(tried)))
    return choose(streams, default, before_each) if streams else None
