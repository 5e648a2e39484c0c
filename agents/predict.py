"""Score new rows with the published winner: the `predict` action of a manifest."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from agents.attempt import AttemptSpec
from agents.decide import TRAINING_STEP, Decision
from agents.errors import InputMissing, ManifestError, UsageError
from agents.inputs import check_module
from agents.manifests import Manifest
from agents.parameters import Parameter
from agents.run import Run, RunReport, StepReport, Surroundings, in_run
from agents.workspace import MANIFESTS_FOLDER, SCHEMAS_FOLDER, WINNER_SIDECAR, expanded, real
from steps.contract import ExitCode
from steps.policies import HALT_FILE, POLICY_FILE

ACTION = "predict"

# What else a workspace keeps; predictions must not replace any of it.
_KEPT = (
    ".watcher",
    "models",
    "optuna_studies",
    "diagnostics_outputs",
    MANIFESTS_FOLDER,
    SCHEMAS_FOLDER,
    POLICY_FILE,
    HALT_FILE,
)
_HEADER_BYTES = 1 << 20

_EXIT_CODES = {
    "complete": ExitCode.DONE,
    "no_signal": ExitCode.NO_SIGNAL,
    "halted": ExitCode.HALTED,
    "blocked": ExitCode.HALTED,
    "interrupted": ExitCode.INTERRUPTED,
    "usage": ExitCode.USAGE,
    "timeout": ExitCode.TIMEOUT,
}


def run_predict(
    table: str, output: str | None, manifests: Sequence[Manifest], around: Surroundings
) -> RunReport:
    """Score `table` into the CSV file `output`. Not retried.

    output: None means predictions/<table>.predictions.csv in the workspace. A relative table is
    looked for in the workspace, then in the current folder; a relative output is in the current
    folder, where the shell would put it. Raises WatcherError where nothing was started:
    UsageError also for an output that would replace anything but predictions.
    """
    manifest = next((m for m in manifests if ACTION in m.actions), None)
    if manifest is None:
        raise ManifestError("--predict needs a manifest with the action 'predict', got none")
    module = manifest.actions[ACTION]
    check_module(manifest, module)
    if not around.workspace.winner_sidecar.is_file():
        raise InputMissing(
            f"--predict needs a trained winner, but there is no {WINNER_SIDECAR} in "
            f"{around.workspace.root}; train one with "
            f"`watcher --run-pipeline --start-step {TRAINING_STEP} --end-step {TRAINING_STEP}`"
        )
    table_path = _find_table(table, around)
    output_path = _output_path(table_path, output, around)

    def body(run: Run) -> tuple[tuple[StepReport, ...], Decision]:
        policy = run.watch.policy

        def limit_s() -> float:
            return run.watch.policy.timeout_s(manifest.step, manifest.timeout_minutes)

        attempted = run.attempt(
            AttemptSpec(
                run_id=run.run_id,
                step=manifest.step,
                attempt=1,
                agent_name=manifest.agent_name,
                title=f"Predict {table_path.name}",
                module=module,
                folder_name=ACTION,
                parameters=(
                    Parameter("table", str(table_path), "params"),
                    Parameter("output", str(output_path), "params" if output else "default"),
                ),
                inputs={},
                limit_s=limit_s(),
                grace_s=policy.steps.kill_grace_s,
                may_write=(output_path,),
            ),
            limit_s,
            {},
        )
        outcome = attempted.verdict.outcome
        code = _EXIT_CODES.get(outcome, ExitCode.STEP_FAILED)
        decision = Decision("stop" if code else "next", attempted.verdict.message, code)
        run.conclude(attempted, decision)
        step = StepReport(manifest.step, manifest.agent_name, (attempted,), decision)
        return (step,), decision

    request = {"table": str(table_path), "output": str(output_path)}
    return in_run(ACTION, f"predict {table_path.name}", request, around, body)


def _find_table(table: str, around: Surroundings) -> Path:
    places = dict.fromkeys((around.workspace.root / expanded(table), around.cwd / expanded(table)))
    for path in places:
        if path.is_file():
            return real(path)
    searched = ", ".join(str(path) for path in places)
    raise InputMissing(f"--predict must name a table, got {table!r}: no such file ({searched})")


def _output_path(table: Path, output: str | None, around: Surroundings) -> Path:
    """Where the predictions will be, symlinks followed; raises UsageError."""
    root = around.workspace.root
    named = around.cwd / expanded(output) if output is not None else None
    path = named or root / "predictions" / f"{_stem(table)}.predictions.csv"
    target = real(path)
    shown = str(path) if path == target else f"{path}, which is {target}"
    if target.is_dir():
        raise UsageError(f"--output must be a file, got the folder {shown}")
    if target == table:
        raise UsageError(f"--output must not be the table itself, got {shown}")
    # A symlink that lies in models/ is of the workspace's own too, wherever it leads.
    for place in (target, real(path.parent) / path.name):
        for kept in _KEPT:
            if any(place.is_relative_to(own) for own in (root / kept, real(root / kept))):
                raise UsageError(
                    f"--output must not lie in what the workspace keeps for itself, got {shown} "
                    f"({kept})"
                )
    if target.suffix.lower() != ".csv":
        raise UsageError(f"--output must end in .csv, got {shown}")
    if target.exists() and not target.is_file():
        raise UsageError(f"--output must be a regular file, got {shown}")
    if target.exists() and not _is_predictions(target):
        raise UsageError(
            f"--output: {shown} exists and is not a predictions file; choose another name"
        )
    return target


def _is_predictions(path: Path) -> bool:
    """Whether the last column of a CSV file's header is one that predictions have."""
    with path.open("rb") as file:
        line = file.readline(_HEADER_BYTES).decode("utf-8-sig", errors="replace")
    try:
        header = next(csv.reader([line]), [])
    except csv.Error:
        return False
    return bool(header) and header[-1].startswith("predicted_")


def _stem(table: Path) -> str:
    name = table.name
    for ending in (".gz", ".csv", ".parquet", ".json", ".npz"):
        name = name.removesuffix(ending)
    return name
