"""The story of Step 6: check what it rests on, follow what is proven, replay, give the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np

from steps.contract import StepRequest, StepResult
from steps.entry import stop_requested
from steps.errors import StepRefused
from steps.files import sha256_file, write_text_atomic
from steps.forensics.candidates import proven, read_survivors
from steps.forensics.documents import (
    PREDICTION_FILE,
    CandidateRecord,
    Prediction,
    ScorerConfig,
    WindowConfig,
    read_document,
    write_document,
)
from steps.forensics.lineage import check_lineage
from steps.forensics.mixture import Belief
from steps.forensics.parts import read_part
from steps.forensics.scored import ScoredFacts, read_scored_facts
from steps.forensics.settings import read_settings
from steps.progress import StepProgress
from steps.results import halted, outputs_in
from steps.step6_prediction.evidence import Evidence, find
from steps.step6_prediction.fairness import fairness_of
from steps.step6_prediction.following import follow
from steps.step6_prediction.guesses import guess_tests
from steps.step6_prediction.known import Known, likeliest, proven_by_all, said_of_all
from steps.step6_prediction.replay import replay
from steps.step6_prediction.report import REPORT_FILE, prediction_report
from steps.step6_prediction.settings import PredictionSettings
from steps.step6_prediction.step5 import AGAIN, step5_says
from steps.step6_prediction.verdict import predict
from steps.step6_prediction.what_next import what_next


def run(request: StepRequest) -> StepResult:
    """Give the verdict; see docs/chapter-06-prediction.md for the whole account."""
    progress = StepProgress(request)
    settings = read_settings(PredictionSettings, request.params)
    workspace = Path(request.workspace)
    progress.say("reading what the other steps left")
    paths = {name: Path(path) for name, path in request.inputs.items()}
    window = read_document(paths["window"], WindowConfig)
    lineage = check_lineage(window, paths, workspace)
    scorer = read_document(paths["scorer"], ScorerConfig)
    survivors = read_survivors(paths["survivors"])
    train = read_part(paths["train"], window.history)
    known = Known(train, read_part(paths["holdout"], window.history))
    facts = read_scored_facts(paths["scored"])
    _check_lineage(facts, paths)
    step5 = step5_says(
        workspace, paths["scored"], facts, paths.get("diagnostics"), paths.get("model")
    )
    progress.say("holding candidates against all known draws")
    mixed = likeliest(_all(window, survivors), known, settings.mixture_size)
    said = said_of_all(mixed, known, ahead=1)
    sure = [follow(c, known, settings.hazard, scorer.corruption) for c in mixed if proven(c)]
    sure += [
        follow(candidate, known, settings.hazard, scorer.corruption, len(mixed))
        for candidate in proven_by_all(mixed, said, known, scorer.corruption)
    ]
    progress.say("replaying the draws held back")
    rng = np.random.default_rng(settings.seed)
    replayed = replay(
        mixed,
        said,
        known,
        Belief(
            window.history.modulus,
            scorer.corruption,
            settings.hazard,
            scorer.recency_draws,
            scorer.lane_weight,
        ),
        rng=rng,
        should_stop=stop_requested,
    )
    if replayed is None:
        return halted(request, "Stopped before the replay was done; nothing was written.")
    evidence = Evidence(
        window,
        known,
        tuple(sure),
        replayed,
        step5,
        fairness_of(paths.get("regimes"), window.history),
        guess_tests(known, window.history.low),
    )
    prediction = predict(
        evidence, request.run_id, datetime.now(UTC), next_count=settings.next_count, rng=rng
    )
    write_document(workspace / PREDICTION_FILE, prediction)
    write_text_atomic(workspace / REPORT_FILE, prediction_report(prediction))
    finding = find(evidence)
    status: Literal["complete", "no_signal"] = (
        "no_signal" if finding in {"chance", "not uniform", "too few draws"} else "complete"
    )
    return StepResult(
        run_id=request.run_id,
        step=request.step,
        attempt=request.attempt,
        status=status,
        headline=prediction.headline,
        outputs=outputs_in(workspace, PREDICTION_FILE, REPORT_FILE),
        metrics=_metrics(prediction),
        notes=lineage,
        what_next=what_next(evidence, prediction),
    )


def _all(window: WindowConfig, survivors: Sequence[CandidateRecord]) -> list[CandidateRecord]:
    """What was found and what survived, each once."""
    return list(
        {_identity(candidate): candidate for candidate in (*window.found, *survivors)}.values()
    )


def _identity(candidate: CandidateRecord) -> tuple[object, ...]:
    begun: object = candidate.seed, candidate.seeding, candidate.offset
    if candidate.state is not None:
        begun = tuple(candidate.state)
    law = candidate.stream, candidate.generator, candidate.mapping, candidate.gap
    return *law, candidate.first, begun


def _check_lineage(facts: ScoredFacts, paths: dict[str, Path]) -> None:
    """Raise StepRefused unless the table was made from the files that are here."""
    for name, wanted in (
        ("survivors", facts.survivors_sha256),
        ("train", facts.train_sha256),
        ("holdout", facts.holdout_sha256),
    ):
        got = sha256_file(paths[name])
        if got != wanted:
            raise StepRefused(
                "bad_input",
                f"{paths['scored']}: it was made from a {paths[name].name} with SHA-256 {wanted}, "
                f"the one here has {got}; {AGAIN}",
            )


def _metrics(prediction: Prediction) -> dict[str, float]:
    metrics = {"log10_hypotheses": prediction.log10_hypotheses}
    if prediction.confidence is not None:
        metrics["confidence"] = prediction.confidence
    if prediction.log_loss is not None and prediction.log_loss_uniform is not None:
        metrics["log_loss"] = prediction.log_loss
        metrics["log_loss_uniform"] = prediction.log_loss_uniform
    if prediction.tests:
        metrics["smallest_p_corrected"] = min(test.p_corrected for test in prediction.tests)
    return metrics
