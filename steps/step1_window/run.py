"""The story of Step 1: split, plan, search, sieve, and say what was found and what was not."""

from __future__ import annotations

import math
import os
from pathlib import Path

from steps.contract import Note, StepRequest, StepResult
from steps.entry import stop_requested
from steps.errors import StepRefused
from steps.forensics.candidates import proven
from steps.forensics.documents import (
    SearchRecord,
    Segment,
)
from steps.forensics.history import DrawHistory
from steps.forensics.intake import read_history
from steps.forensics.settings import read_settings
from steps.prng.recovery.found import ALPHA
from steps.progress import StepProgress
from steps.results import halted
from steps.step1_window.answers import FOLDER, AnswerStore
from steps.step1_window.ask import Asker
from steps.step1_window.efforts import EFFORTS
from steps.step1_window.evidence import Evidence
from steps.step1_window.outcome import Work, write_outcome
from steps.step1_window.plan import pairs_of, plan_searches
from steps.step1_window.planned import BACKWARD, Scope, Subject
from steps.step1_window.search import Searcher, Stopped, most_follow_ups, time_is_up
from steps.step1_window.seed_devices import SeedDevices, seed_devices
from steps.step1_window.settings import WindowSettings
from steps.step1_window.sieve import Sieved, sieve, sieve_passes
from steps.step1_window.split import segments_of, train_count

# For the plan only, which must be made before it is known how many searches share the chance.
_SEARCHES_ABOUT = 1e4


def run(request: StepRequest) -> StepResult:
    """Search for the generator; see docs/chapter-01-window.md for the whole account."""
    progress = StepProgress(request)
    settings = read_settings(WindowSettings, request.params)
    names = settings.names()
    progress.say("reading the history")
    history = read_history(Path(request.inputs["draw_history"]), settings.intake())
    train = train_count(history, settings.holdout_fraction)
    workspace = Path(request.workspace)
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
    return write_outcome(request, settings, work, evidence, records, sieved, notes)


def _planned(
    history: DrawHistory,
    train: int,
    settings: WindowSettings,
    names: tuple[tuple[str, ...], tuple[str, ...]],
    segments: tuple[Segment, ...],
    notes: tuple[Note, ...],
) -> Work:
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
    subject = Subject(
        modulus,
        streams,
        segments,
        history.dates[0] if history.dates else None,
        in_order=history.facts.first_date != history.facts.last_date,
    )
    plan = plan_searches(subject, scope)
    passes = sieve_passes(pairs, effort.sieve_seeds)
    follow_ups = most_follow_ups(train)
    log_searches = math.log(len(plan) + len(passes) + follow_ups)
    return Work(history, train, plan, passes, follow_ups, log_searches, notes)


def _search(
    work: Work,
    settings: WindowSettings,
    store: AnswerStore,
    progress: StepProgress,
    devices: SeedDevices,
) -> tuple[Evidence, list[SearchRecord]]:
    history, train = work.history, work.train
    rows = {stream: history.rows(stream) for stream in history.facts.streams}
    rows = {stream: numbers[numbers < train] for stream, numbers in rows.items()}
    rows |= {f"{BACKWARD}{stream}": numbers[::-1] for stream, numbers in rows.items()}
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
    work: Work, settings: WindowSettings, evidence: Evidence, progress: StepProgress
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
