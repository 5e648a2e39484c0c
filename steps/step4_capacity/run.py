"""The story of Step 4: the table's size, the machine's, a look into a small table, a file."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from gpu.host.machine import available_memory_mib, usable_cores
from steps.contract import StepRequest, StepResult
from steps.files import sha256_file, write_text_atomic
from steps.forensics.documents import ENGINE_FILE, EngineConfig, write_document
from steps.forensics.settings import read_settings
from steps.progress import StepProgress
from steps.results import outputs_in
from steps.step4_capacity.report import REPORT_FILE, capacity_report
from steps.step4_capacity.settings import CapacitySettings
from steps.step4_capacity.shape import shape_of
from steps.step4_capacity.sizing import Machine, capacity_for


def run(request: StepRequest) -> StepResult:
    """Size Step 5 for this machine; see docs/chapter-04-capacity.md for the whole account."""
    return size(request, Machine(usable_cores(), available_memory_mib()))


def size(request: StepRequest, machine: Machine) -> StepResult:
    """Size Step 5 for a machine."""
    progress = StepProgress(request)
    settings = read_settings(CapacitySettings, request.params)
    progress.say("looking at the table")
    table, workspace = Path(request.inputs["survivors"]), Path(request.workspace)
    rows, columns = shape_of(table)
    capacity = capacity_for(rows, columns, machine, settings.time_budget_minutes)
    config = EngineConfig(
        run_id=request.run_id,
        created_at=datetime.now(UTC),
        table=str(table.relative_to(workspace) if table.is_relative_to(workspace) else table),
        sha256=sha256_file(table),
        rows=rows,
        columns=columns,
        cpus=machine.cores,
        time_budget_minutes=settings.time_budget_minutes,
        params=capacity.params,
        reasons=capacity.reasons,
    )
    write_document(workspace / ENGINE_FILE, config)
    write_text_atomic(workspace / REPORT_FILE, capacity_report(config))
    trials, folds = capacity.params["trials"], capacity.params["k_folds"]
    return StepResult(
        run_id=request.run_id,
        step=request.step,
        attempt=request.attempt,
        status="complete",
        headline=f"{rows} rows of {columns} columns: {trials} trials of {folds} folds, about "
        f"{capacity.estimated_s:.0f} s.",
        outputs=outputs_in(workspace, ENGINE_FILE, REPORT_FILE),
        metrics={
            "rows": float(rows),
            "columns": float(columns),
            "estimated_s": capacity.estimated_s,
        },
    )
