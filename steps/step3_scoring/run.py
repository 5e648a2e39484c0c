"""The story of Step 3: read, hold every candidate against the record, write the table."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from gpu.host.devices import usable_cores
from steps.contract import Note, StepRequest, StepResult
from steps.entry import stop_requested
from steps.errors import StepRefused
from steps.files import sha256_file, write_text_atomic
from steps.forensics.candidates import proven, read_survivors
from steps.forensics.documents import SCORED_FILE, ScorerConfig, WindowConfig, read_document
from steps.forensics.documents import write_document as write
from steps.forensics.lineage import check_lineage
from steps.forensics.mixture import Belief
from steps.forensics.parts import read_part
from steps.forensics.scored import ScoredFacts, write_scored
from steps.forensics.settings import read_settings
from steps.progress import StepProgress
from steps.results import halted, outputs_in
from steps.step3_scoring.proven import PROVEN_FILE, ProvenCandidates, hold_against_holdout
from steps.step3_scoring.report import REPORT_FILE, headline, scoring_report
from steps.step3_scoring.scoring import Scored, records_of, score
from steps.step3_scoring.settings import ScoringSettings


def run(request: StepRequest) -> StepResult:
    """Score the survivors; see docs/chapter-03-scoring.md for the whole account."""
    progress = StepProgress(request)
    settings = read_settings(ScoringSettings, request.params)
    progress.say("reading the survivors")
    paths = {name: Path(path) for name, path in request.inputs.items()}
    window = read_document(paths["window"], WindowConfig)
    lineage = check_lineage(window, paths, Path(request.workspace))
    scorer = read_document(paths["scorer"], ScorerConfig)
    survivors = read_survivors(paths["survivors"])
    modulus, streams = window.history.modulus, window.history.streams
    for row, candidate in enumerate(survivors):
        if candidate.stream not in streams or candidate.modulus != modulus:
            raise StepRefused(
                "bad_input",
                f"{paths['survivors']}: row {row + 1}: wanted a candidate with modulus {modulus} "
                f"for one of {', '.join(streams)}, got {candidate.modulus} for {candidate.stream}",
            )
    train = read_part(paths["train"], window.history)
    holdout = read_part(paths["holdout"], window.history)
    named = sorted({candidate.stream for candidate in survivors})
    records = records_of(train, holdout, named)
    too_few = window.verdict == "insufficient data"
    progress.say("scoring", f"{len(survivors)} candidates")
    scored = score(
        survivors,
        records,
        Belief(
            modulus,
            scorer.corruption,
            recency_draws=scorer.recency_draws,
            lane_weight=scorer.lane_weight,
        ),
        table_rows=0 if too_few else settings.table_rows,
        seed=settings.seed,
        threads=usable_cores(),
        should_stop=stop_requested,
    )
    if scored is None:
        return halted(request, "Stopped before all survivors were scored; nothing was written.")
    if too_few:
        scored = replace(scored, nothing_to_learn="the draws are too few for any search")
    sure = hold_against_holdout([c for c in survivors if proven(c)], records)
    progress.say("writing the table")
    workspace = Path(request.workspace)
    facts = ScoredFacts(
        survivors_sha256=sha256_file(paths["survivors"]),
        train_sha256=sha256_file(paths["train"]),
        holdout_sha256=sha256_file(paths["holdout"]),
        survivors=scored.survivors,
        controls=scored.controls,
        proven=len(sure),
        copies=scored.copies,
        holdout_trials=scored.trials,
        feature_names=scored.feature_names,
        dropped=scored.dropped,
        nothing_to_learn=scored.nothing_to_learn,
    )
    write_scored(workspace / SCORED_FILE, scored.columns, facts)
    now = datetime.now(UTC)
    write(
        workspace / PROVEN_FILE,
        ProvenCandidates(run_id=request.run_id, created_at=now, candidates=sure),
    )
    write_text_atomic(workspace / REPORT_FILE, scoring_report(scored, sure, scorer))
    return StepResult(
        run_id=request.run_id,
        step=request.step,
        attempt=request.attempt,
        status="complete",
        headline=headline(scored, len(sure)),
        outputs=outputs_in(workspace, SCORED_FILE, PROVEN_FILE, REPORT_FILE),
        metrics={
            "survivors": float(scored.survivors),
            "controls": float(scored.controls),
            "features": float(len(scored.feature_names)),
            "holdout_trials": float(scored.trials),
            "proven": float(len(sure)),
        },
        notes=(*lineage, *_notes(scored, len(sure))),
        what_next=_what_next(scored),
    )


def _notes(scored: Scored, proven: int) -> tuple[Note, ...]:
    said = []
    if scored.dropped:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in scored.dropped.items())
        said.append(("features_left_out", f"features left out of the table: {reasons}"))
    if proven:
        said.append(
            (
                "proven_apart",
                f"{proven} proven candidates are in {PROVEN_FILE}, not in the table: one row that "
                "hits every draw would be all that a model learns",
            )
        )
    if scored.copies:
        said.append(
            (
                "copies_left_out",
                f"{scored.copies} candidates say what a better one says, whole or modulo a prime "
                "power of the range, and were left out: they would hit and miss together",
            )
        )
    if scored.unjudged:
        said.append(
            (
                "unjudged",
                f"{scored.unjudged} candidates are of a session without a draw held back, and "
                "were left out",
            )
        )
    return tuple(Note(level="info", code=code, message=message) for code, message in said)


def _what_next(scored: Scored) -> tuple[str, ...]:
    if scored.nothing_to_learn is not None:
        return ("the verdict: watcher --run-pipeline --start-step 6 --end-step 6",)
    return ("train on the table: watcher --run-pipeline --start-step 4 --end-step 6",)
