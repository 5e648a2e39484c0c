"""The story of Step 5: read, refuse or warn, split, search, refit, judge, publish."""

from __future__ import annotations

import dataclasses
import logging
import shutil
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import optuna

from gpu.host.leases import LeaseQueue
from gpu.host.lock_files import LeaseFolderError
from gpu.host.pool import Pool
from steps.contract import Note, StepRequest, StepResult
from steps.errors import StepRefused
from steps.policies import LivePolicy
from steps.progress import StepProgress
from steps.step5_training.capacity import with_capacity
from steps.step5_training.comparison import Comparison, Orders
from steps.step5_training.final_fit import Places
from steps.step5_training.folds import Splits, draw_folds
from steps.step5_training.judge import judge
from steps.step5_training.layout import lay_out
from steps.step5_training.limits import first_limit_s
from steps.step5_training.orders import Desk, allowed
from steps.step5_training.phases import Phases
from steps.step5_training.placement import Placement, size_of
from steps.step5_training.preflight import LeakFinding, check_splits, inspect_table
from steps.step5_training.report import halted_result, publish_run
from steps.step5_training.scheduler import Scheduler
from steps.step5_training.settings import Settings, SettingsError, read_settings
from steps.step5_training.skip_registry import consult, registry_file
from steps.step5_training.storage import StudyStorageError, open_storage
from steps.step5_training.studies import Studies, open_studies
from steps.step5_training.untrained import without_training
from steps.step5_training.wording import placement_notes
from steps.tables import Table, TableError, read_table

log = logging.getLogger(__name__)

SEARCHING = "searching"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A table that is fit to train on; table.X is mapped from disk."""

    table: Table
    splits: Splits
    notes: tuple[Note, ...]
    leaks: tuple[LeakFinding, ...]
    folder: Path


def run(request: StepRequest) -> StepResult:
    """Compare the families on one table; see docs/chapter-05-training.md for the whole account."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if (untrained := without_training(request, _now())) is not None:
        return untrained
    started = time.monotonic()
    progress = StepProgress(request)
    phases = Phases(progress.say)
    out_dir = Path(request.out_dir)
    for left in out_dir.parents[1].glob("*/*/scratch"):
        shutil.rmtree(left)  # of a run that was killed: one watcher works here at a time
    try:
        params, capacity = with_capacity(request)
        settings = read_settings(params)
        phases.begin("reading the table")
        prepared = _prepare(settings, request, out_dir)
        phases.begin("opening the studies")
        storage_folder = Path(request.workspace) / "optuna_studies"
        storage = open_storage(settings.study_storage, storage_folder)
        policy = LivePolicy.handed_over(request.policy_path, request.policy)
        registry = registry_file(Path(request.workspace))
        studies = open_studies(
            storage,
            settings,
            policy.current,
            consult(registry, policy.current.skip, request.run_id, _now()),
            prepared.table,
            prepared.splits,
            request.run_id,
            storage_folder,
        )
        phases.begin(SEARCHING)
        placement = Placement(
            settings,
            tuple(studies.by_family),
            size_of(prepared.table, prepared.splits),
            allowed(policy.current),
        )
        comparison = _search(
            studies, settings, policy, prepared, placement, request, progress, started
        )
        if comparison.stopped is not None:
            return halted_result(
                request, comparison.stopped, studies, placement.notes, policy.look()
            )
        phases.begin("judging")
        judged = judge(
            studies,
            comparison,
            prepared.table,
            prepared.splits,
            prepared.leaks,
            (*capacity, *prepared.notes, *placement_notes(placement.notes)),
            settings,
        )
        phases.begin("publishing")
        return publish_run(
            request,
            policy.look(),
            settings,
            prepared.table,
            prepared.splits,
            studies,
            judged,
            _now(),
            phases.seconds,
        )
    except TableError as error:
        raise StepRefused("bad_input", str(error)) from error
    except (SettingsError, StudyStorageError, LeaseFolderError) as error:
        raise StepRefused("usage", str(error)) from error
    except optuna.exceptions.StorageInternalError as error:
        raise StepRefused("internal", f"study_storage: {error}") from error
    finally:
        shutil.rmtree(out_dir / "scratch", ignore_errors=True)


def _now() -> datetime:
    return datetime.now().astimezone()


def _prepare(settings: Settings, request: StepRequest, out_dir: Path) -> Prepared:
    table = read_table(Path(request.inputs["survivors"]), settings.table_options())
    log.info("table: %d rows, %d features, target %s", len(table.y), table.n_features, table.target)
    notes, leaks = inspect_table(table, settings.k_folds, settings.holdout_fraction, settings.split)
    for note in (*table.notes, *notes):
        log.info("%s: %s", note.level, note.message)
    splits = draw_folds(
        len(table.y),
        split=settings.split,
        n_folds=settings.k_folds,
        holdout_fraction=settings.holdout_fraction,
        seed=settings.seed,
        time=table.time,
        group=table.group,
    )
    check_splits(table, splits)
    folder = lay_out(table, splits, out_dir / "scratch" / "table")
    # The matrix is on disk now; only the workers need it in memory.
    mapped = np.load(folder / "X.npy", mmap_mode="r")
    return Prepared(
        dataclasses.replace(table, X=mapped), splits, (*table.notes, *notes), leaks, folder
    )


def _search(
    studies: Studies,
    settings: Settings,
    policy: LivePolicy,
    prepared: Prepared,
    placement: Placement,
    request: StepRequest,
    progress: StepProgress,
    started: float,
) -> Comparison:
    minutes = settings.time_budget_minutes
    usual = Orders(
        persistent=settings.persistent_workers,
        tree_workers=settings.tree_parallel_workers,
        networks=settings.n_concurrent_nn,
    )
    desk = Desk(policy, Path(request.workspace), tuple(studies.by_family), usual)
    plan = placement.plan
    leases = LeaseQueue(plan.devices, room=placement.has_room)
    with Pool(leases, threads=plan.threads) as pool:
        return Scheduler(
            studies.by_family,
            pool,
            Places(prepared.folder, Path(request.out_dir) / "scratch" / "fits"),
            n_folds=settings.k_folds,
            seed=settings.seed,
            placement=placement,
            first_limit_s=first_limit_s(
                prepared.table.X.size, settings.k_folds, max(settings.n_estimators, settings.epochs)
            ),
            orders=desk,
            report=lambda families, left, message: progress.say(
                SEARCHING, message, families=families, time_left_s=left
            ),
            deadline=None if minutes is None else started + minutes * 60,
        ).run()
