"""The story of Step 1: split, plan, search, sieve, and say what was found and what was not."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from steps.contract import Note, StepRequest, StepResult
from steps.entry import stop_requested
from steps.errors import StepRefused
from steps.files import write_text_atomic
from steps.forensics.candidates import proven, write_survivors
from steps.forensics.documents import (
    HOLDOUT_FILE,
    SURVIVORS_FILE,
    TRAIN_FILE,
    WINDOW_FILE,
    CandidateRecord,
    PowerRow,
    SearchRecord,
    Segment,
    WindowConfig,
    write_document,
)
from steps.forensics.history import DrawHistory
from steps.forensics.intake import read_history
from steps.forensics.parts import write_part
from steps.forensics.settings import read_settings
from steps.prng.recovery.found import ALPHA
from steps.progress import StepProgress
from steps.results import halted, outputs_in
from steps.step1_window.answers import FOLDER, AnswerStore
from steps.step1_window.ask import Asker, readable
from steps.step1_window.efforts import EFFORTS
from steps.step1_window.evidence import Evidence, log_of_sum
from steps.step1_window.plan import pairs_of, plan_searches
from steps.step1_window.planned import Planned, Scope, Subject
from steps.step1_window.power import power_rows
from steps.step1_window.report import REPORT_FILE, headline, verdict_of, what_next, window_report
from steps.step1_window.search import Searcher, Stopped, most_follow_ups, time_is_up
from steps.step1_window.seed_devices import SeedDevices, seed_devices
from steps.step1_window.settings import WindowSettings
from steps.step1_window.sieve import Pass, Sieved, pass_record, sieve, sieve_passes
from steps.step1_window.split import segments_of, train_count

# For the plan only, which must be made before it is known how many searches share the chance.
_SEARCHES_ABOUT = 1e4
_MOST_INT = 300
_UNPROVEN_KEPT = 1000


@dataclass(frozen=True, slots=True)
class _Work:
    """What is to be done. train: how many draws are learnt from; log_searches: of all of them."""

    history: DrawHistory
    train: int
    plan: tuple[Planned, ...]
    passes: tuple[Pass, ...]
    follow_ups: int
    log_searches: float
    notes: tuple[Note, ...]


def run(request: StepRequest) -> StepResult:
    """Search for the generator; see docs/chapter-01-window.md for the whole account."""
    progress = StepProgress(request)
    settings = read_settings(WindowSettings, request.params)
    names = settings.names()
    progress.say("reading the history")
    history = read_history(Path(request.inputs["draw_history"]), settings.intake())
    train = train_count(history, settings.holdout_fraction)
    workspace = Path(request.workspace)
    write_part(workspace / TRAIN_FILE, history, 0, train)
    write_part(workspace / HOLDOUT_FILE, history, train, history.draws.shape[0])
    segments, notes = segments_of(request, history, train)
    progress.say("planning")
    work = _planned(history, train, settings, names, segments, notes)
    store = AnswerStore(workspace / FOLDER)
    try:
        with seed_devices(settings.seed_search_device, request) as devices:
            evidence, records = _search(work, settings, store, progress, devices)
        sieved = _sieve(work, settings, evidence, progress)
    except Stopped:
        return halted(
            request,
            "Stopped before all searches were made; those that were are kept.",
            "go on where it stopped: watcher --run-pipeline --resume",
        )
    store.forget_others()
    notes = (
        *notes,
        *devices.notes,
        *(Note(level="info", code="answer_set_aside", message=said) for said in store.set_aside),
    )
    return _written(request, settings, work, evidence, records, sieved, notes)


def _planned(
    history: DrawHistory,
    train: int,
    settings: WindowSettings,
    names: tuple[tuple[str, ...], tuple[str, ...]],
    segments: tuple[Segment, ...],
    notes: tuple[Note, ...],
) -> _Work:
    modulus = history.facts.modulus
    pairs = pairs_of(*names, modulus)
    if not pairs:
        raise StepRefused(
            "usage", f"generators and mappings: none of them makes draws of {modulus} values"
        )
    effort = EFFORTS[settings.effort]
    streams = tuple(
        (stream, int((history.rows(stream) < train).sum())) for stream in history.facts.streams
    )
    scope = Scope(
        effort,
        pairs,
        settings.max_gap,
        settings.corruption,
        settings.missing_rate,
        ALPHA / _SEARCHES_ABOUT,
    )
    subject = Subject(modulus, streams, segments, history.dates[0] if history.dates else None)
    plan = plan_searches(subject, scope)
    passes = sieve_passes(pairs, effort.sieve_seeds)
    follow_ups = most_follow_ups(train)
    log_searches = math.log(len(plan) + len(passes) + follow_ups)
    return _Work(history, train, plan, passes, follow_ups, log_searches, notes)


def _search(
    work: _Work,
    settings: WindowSettings,
    store: AnswerStore,
    progress: StepProgress,
    devices: SeedDevices,
) -> tuple[Evidence, list[SearchRecord]]:
    history, train = work.history, work.train
    rows = {stream: history.rows(stream) for stream in history.facts.streams}
    rows = {stream: numbers[numbers < train] for stream, numbers in rows.items()}
    draws = {stream: history.draws[numbers] for stream, numbers in rows.items()}
    out_of_time = time_is_up(settings.search_minutes)
    threads = settings.threads or len(os.sched_getaffinity(0))
    evidence = Evidence(
        draws,
        rows,
        history.facts.modulus,
        corruption=settings.corruption,
        missing_rate=settings.missing_rate,
        log_searches=work.log_searches,
    )
    asker = Asker(
        draws,
        history.facts.modulus,
        ALPHA / math.exp(work.log_searches),
        store,
        threads,
        lambda: stop_requested() or out_of_time(),
        devices,
    )
    searcher = Searcher(
        asker,
        evidence,
        work.log_searches,
        threads,
        work.follow_ups,
        stop_requested,
        out_of_time,
        lambda message: progress.say("searching", message),
    )
    searcher.make(work.plan)
    return evidence, searcher.records


def _sieve(
    work: _Work, settings: WindowSettings, evidence: Evidence, progress: StepProgress
) -> Sieved:
    sieved = sieve(
        work.history.draws[: work.train],
        work.history.facts.modulus,
        work.passes,
        kept=settings.survivors_kept,
        corruption=settings.corruption,
        log_searches=work.log_searches,
        should_stop=stop_requested,
        tell=lambda done: progress.say("sieving", f"{done} of {len(work.passes)} passes"),
    )
    if not sieved.complete:
        raise Stopped
    for candidate in sieved.candidates:
        if proven(candidate):
            evidence.hold_sieved(candidate)
    return sieved


def _written(
    request: StepRequest,
    settings: WindowSettings,
    work: _Work,
    evidence: Evidence,
    records: list[SearchRecord],
    sieved: Sieved,
    notes: tuple[Note, ...],
) -> StepResult:
    workspace = Path(request.workspace)
    history, train = work.history, work.train
    searches = (
        *records,
        *(pass_record(one, train, sieved.candidates) for one in sieved.passes),
    )
    logs = [
        search.log10_hypotheses * math.log(10) for search in searches if search.not_tried is None
    ]
    log10 = log_of_sum(logs) / math.log(10) if logs else 0.0
    survivors = _survivors(evidence, sieved, settings.survivors_kept)
    found = tuple(sorted(evidence.found, key=lambda candidate: -candidate.score))
    power = _power(work, settings)
    config = WindowConfig(
        run_id=request.run_id,
        created_at=datetime.now(UTC),
        history=history.facts,
        train=train,
        holdout=history.draws.shape[0] - train,
        verdict=verdict_of(found, power, settings.corruption),
        found=found,
        searches=searches,
        power=power,
        hypotheses_tried=round(10**log10) if log10 < _MOST_INT else None,
        log10_hypotheses=log10,
        survivors=write_survivors(workspace / SURVIVORS_FILE, survivors),
        headline=headline(found, evidence.explained, train, searches, power, settings),
    )
    write_document(workspace / WINDOW_FILE, config)
    page = window_report(config, settings, evidence.explained, sieved.window, sieved.sure)
    write_text_atomic(workspace / REPORT_FILE, page)
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


def _survivors(evidence: Evidence, sieved: Sieved, kept: int) -> list[CandidateRecord]:
    """Everything proven, the best of the unproven, then the sieve's, `kept` in all or what is
    proven.
    """
    unproven: dict[tuple[object, ...], CandidateRecord] = {}
    for candidate in sorted(evidence.unproven, key=lambda candidate: -candidate.score):
        key = (candidate.stream, candidate.generator, candidate.mapping, candidate.gap)
        unproven.setdefault((*key, candidate.first, candidate.state), candidate)
    others = [*unproven.values()][:_UNPROVEN_KEPT]
    others += [candidate for candidate in sieved.candidates if not proven(candidate)]
    found = sorted(evidence.found, key=lambda candidate: -candidate.score)
    return [*found, *others[: max(0, kept - len(found))]]


def _power(work: _Work, settings: WindowSettings) -> tuple[PowerRow, ...]:
    return power_rows(
        work.plan,
        work.history.facts.modulus,
        readable(work.history.draws[: work.train]),
        settings.corruption,
        ALPHA / math.exp(work.log_searches),
    )
