"""Write down what the searches came to: candidates, parts, page, and the document at last."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from steps.contract import Note, StepRequest, StepResult
from steps.errors import StepRefused
from steps.files import sha256_file, write_text_atomic
from steps.forensics.candidates import proven, write_survivors
from steps.forensics.documents import (
    HOLDOUT_FILE,
    SURVIVORS_FILE,
    TRAIN_FILE,
    WINDOW_FILE,
    CandidateRecord,
    PowerRow,
    SearchRecord,
    WindowConfig,
    write_document,
)
from steps.forensics.history import DrawHistory
from steps.forensics.parts import write_part
from steps.prng.recovery.cycles import repeats
from steps.prng.recovery.found import ALPHA
from steps.results import outputs_in
from steps.step1_window.ask import readable
from steps.step1_window.evidence import Evidence, log_of_sum
from steps.step1_window.planned import BACKWARD, Planned
from steps.step1_window.power import power_rows
from steps.step1_window.report import (
    REPORT_FILE,
    backward_message,
    backward_sentence,
    cycle_sentence,
    headline,
    verdict_of,
    what_next,
    window_report,
)
from steps.step1_window.settings import WindowSettings
from steps.step1_window.sieve import Pass, Sieved, pass_record

_MOST_INT = 300
_UNPROVEN_KEPT = 1000


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be done. train: how many draws are learnt from; log_searches: of all of them."""

    history: DrawHistory
    train: int
    plan: tuple[Planned, ...]
    passes: tuple[Pass, ...]
    follow_ups: int
    log_searches: float
    notes: tuple[Note, ...]


def write_outcome(
    request: StepRequest,
    settings: WindowSettings,
    work: Work,
    evidence: Evidence,
    records: list[SearchRecord],
    sieved: Sieved,
    notes: tuple[Note, ...],
) -> StepResult:
    """Write the files of the step and say what it came to.

    The document goes last and names the others' hashes: a step that dies on the way leaves files
    that no later step takes for its own. Raises StepRefused where the record runs backward.
    """
    workspace = Path(request.workspace)
    history, train = work.history, work.train
    backward = [one for one in evidence.found if one.stream.startswith(BACKWARD)]
    found = [one for one in evidence.found if not one.stream.startswith(BACKWARD)]
    if backward and not found:
        raise StepRefused("bad_input", backward_message(history.facts.path, backward))
    if backward:
        text = f"{backward_sentence(backward)}; this is not gone on with"
        notes = (*notes, Note(level="warning", code="backward", message=text))
    repeated = repeats(history.draws[:train], history.facts.modulus, settings.corruption)
    cycle = None if repeated is None else cycle_sentence(*repeated)
    if cycle is not None:
        notes = (*notes, Note(level="warning", code="cycle", message=cycle))
    searches = (
        *records,
        *(pass_record(one, train, sieved.candidates) for one in sieved.passes),
    )
    logs = [
        search.log10_hypotheses * math.log(10) for search in searches if search.not_tried is None
    ]
    log10 = log_of_sum(logs) / math.log(10) if logs else 0.0
    found.sort(key=lambda candidate: -candidate.score)
    power = _power(work, settings)
    survivors = _survivors(found, evidence, sieved, settings.survivors_kept)
    write_part(workspace / TRAIN_FILE, history, 0, train)
    write_part(workspace / HOLDOUT_FILE, history, train, history.draws.shape[0])
    config = WindowConfig(
        run_id=request.run_id,
        created_at=datetime.now(UTC),
        history=history.facts,
        train=train,
        holdout=history.draws.shape[0] - train,
        verdict=verdict_of(found, power, settings.corruption),
        found=tuple(found),
        searches=searches,
        power=power,
        hypotheses_tried=round(10**log10) if log10 < _MOST_INT else None,
        log10_hypotheses=log10,
        survivors=write_survivors(workspace / SURVIVORS_FILE, survivors),
        train_sha256=sha256_file(workspace / TRAIN_FILE),
        holdout_sha256=sha256_file(workspace / HOLDOUT_FILE),
        survivors_sha256=sha256_file(workspace / SURVIVORS_FILE),
        cycle=None if repeated is None else repeated[0],
        headline=headline(found, evidence.explained, train, searches, power, settings, cycle),
    )
    page = window_report(config, settings, evidence.explained, sieved, notes)
    write_text_atomic(workspace / REPORT_FILE, page)
    write_document(workspace / WINDOW_FILE, config)
    made = sum(search.not_tried is None for search in searches)
    return StepResult(
        run_id=request.run_id,
        step=request.step,
        attempt=request.attempt,
        # Too few draws are a finding too: Step 6 gives the verdict.
        status="complete",
        headline=config.headline,
        outputs=outputs_in(
            workspace, WINDOW_FILE, TRAIN_FILE, HOLDOUT_FILE, SURVIVORS_FILE, REPORT_FILE
        ),
        metrics={
            "train_draws": float(train),
            "explained_draws": float(evidence.explained),
            "found": float(len(found)),
            "searches": float(made),
            "not_tried": float(len(searches) - made),
            "log10_hypotheses": log10,
            "survivors": float(config.survivors),
        },
        notes=(*history.facts.notes, *notes),
        what_next=what_next(config, settings),
    )


def _survivors(
    found: Sequence[CandidateRecord], evidence: Evidence, sieved: Sieved, kept: int
) -> list[CandidateRecord]:
    """Everything found, the best of the unproven, then the sieve's, `kept` in all or what is
    found.
    """
    unproven: dict[tuple[object, ...], CandidateRecord] = {}
    for candidate in sorted(evidence.unproven, key=lambda candidate: -candidate.score):
        if candidate.stream.startswith(BACKWARD):
            continue
        key = (candidate.stream, candidate.generator, candidate.mapping, candidate.gap)
        unproven.setdefault((*key, candidate.first, candidate.state), candidate)
    others = [*unproven.values()][:_UNPROVEN_KEPT]
    others += [candidate for candidate in sieved.candidates if not proven(candidate)]
    return [*found, *others[: max(0, kept - len(found))]]


def _power(work: Work, settings: WindowSettings) -> tuple[PowerRow, ...]:
    return power_rows(
        work.plan,
        work.history.facts.modulus,
        readable(work.history.draws[: work.train]),
        settings.corruption,
        ALPHA / math.exp(work.log_searches),
    )
