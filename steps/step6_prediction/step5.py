"""Read what Step 5 said of the table, after making sure that it was this table."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from steps.artifacts import SIDECAR, Artifact, ArtifactError, feature_schema_hash, open_artifact
from steps.contract.diagnostics import TrainingDiagnostics
from steps.errors import StepRefused
from steps.forensics.documents import read_document
from steps.forensics.scored import ScoredFacts
from steps.tables import Table, TableError, TableOptions, read_table

AGAIN = "run steps 3 to 5 again: watcher --run-pipeline --start-step 3 --end-step 6"


@dataclass(frozen=True, slots=True)
class Step5:
    """signal: its verdict, None where it has none. reason: a sentence. run_id: of the model that
    was learnt from this table and is in force, None where there is none.
    """

    signal: str | None
    reason: str
    run_id: str | None = None


def step5_says(
    workspace: Path,
    scored: Path,
    facts: ScoredFacts,
    diagnostics: Path | None,
    model: Path | None,
) -> Step5:
    """What Step 5 left for the table `scored`; diagnostics, model: None where there is no file.

    Raises StepRefused "bad_input", naming both hashes, where it was left for another table, or
    where the model's features are not the table's.
    """
    if facts.nothing_to_learn is not None:
        return Step5(None, f"there was nothing for a model to learn from: {facts.nothing_to_learn}")
    if diagnostics is None:
        if model is not None:
            raise StepRefused(
                "bad_input",
                f"{model}: its training diagnostics are missing, so it is not known what table it "
                f"was learnt from; {AGAIN}",
            )
        return Step5(None, "step 5 has not run: no model was asked")
    said = read_document(diagnostics, TrainingDiagnostics)
    if said.table is None or said.signal is None:
        return Step5(None, f"step 5 came to no verdict: {said.headline}")
    table = _read(scored, said)
    if table.fingerprint != said.table.fingerprint:
        raise StepRefused(
            "bad_input",
            f"{diagnostics}: step 5 learnt from a table with the fingerprint "
            f"{said.table.fingerprint}, {scored.name} has {table.fingerprint}; {AGAIN}",
        )
    reason = f"step 5 says {said.signal.verdict}: {said.signal.reasons[0]}"
    if model is None:
        return Step5(said.signal.verdict, reason)
    artifact = _opened(workspace)
    if artifact.sidecar.run_id != said.run_id:
        # The table's own model is withheld, or waits for a person.
        return Step5(said.signal.verdict, f"{reason}; its model is not in force")
    wanted, got = feature_schema_hash(table.feature_names), artifact.sidecar.feature_schema_hash
    if wanted != got:
        raise StepRefused(
            "bad_input",
            f"{model}: the model's feature_schema_hash is {got}, that of {scored.name} {wanted}; "
            f"{AGAIN}",
        )
    return Step5(said.signal.verdict, reason, said.run_id)


def _read(scored: Path, said: TrainingDiagnostics) -> Table:
    """The table as Step 5 has read it."""
    params: dict[str, Any] = {} if said.run is None else said.run.params
    names = {field.name for field in fields(TableOptions)}
    options: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in params.items()
        if name in names
    }
    try:
        return read_table(scored, TableOptions(**options))
    except TableError as error:
        raise StepRefused(
            "bad_input", f"{error}; step 5 has learnt from another table; {AGAIN}"
        ) from error


def _opened(workspace: Path) -> Artifact:
    try:
        return open_artifact(workspace, workspace / "models" / "reinforcement" / SIDECAR)
    except ArtifactError as error:
        raise StepRefused("bad_input", str(error)) from error
