"""Lay a run's checkpoints and sidecars out, family by family, with the winner's at the top."""

from __future__ import annotations

import json
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

from gpu.params import CHECKPOINT_FORMATS, Family
from gpu.protocol import FinalFit, FitDone
from steps import __version__
from steps.artifacts import SIDECAR, Sidecar, feature_schema_hash, write_sidecar
from steps.step5_training.judged import Judged
from steps.tables import Table

AGENT = "reinforcement"


def store_model(
    folder: Path,
    run_id: str,
    table: Table,
    judged: Judged,
    family: Family,
    job: FinalFit,
    outcome: FitDone,
) -> None:
    """Copy a final fit's checkpoint into the family's folder and write its sidecar."""
    assert judged.cv is not None  # noqa: S101  # a family with a model has scores
    assert judged.holdout is not None  # noqa: S101
    folder.mkdir()
    checkpoint = checkpoint_in(folder, family)
    shutil.copyfile(job.checkpoint_path, checkpoint)
    path = Path("models") / AGENT / family / checkpoint.name
    write_sidecar(
        Sidecar(
            run_id=run_id,
            created_at=datetime.now(UTC),
            model_type=family,
            checkpoint_path=str(path),
            checkpoint_format=CHECKPOINT_FORMATS[family],
            checkpoint_sha256=outcome.checkpoint_sha256,
            target=table.target,
            feature_names=table.feature_names,
            feature_schema_hash=feature_schema_hash(table.feature_names),
            preprocessing={
                "table": table.schema.model_dump(mode="json"),
                "kinds": table.kinds,
                "levels": [int(n) for n in table.levels],
                "model": json.loads(Path(job.preprocessing_path).read_text(encoding="utf-8")),
            },
            params=job.params,
            rounds=job.rounds,
            versions={family: outcome.library_version, "watcher": __version__},
            metrics={
                "cv": judged.cv.scores[family],
                "holdout": judged.holdout.scores[family],
            },
            signal=judged.signals[family],
        ),
        folder,
    )


def copy_winner(folder: Path, winner: Family) -> None:
    """The winner's two files also lie at the top, under the names that other programs read."""
    own = folder / winner
    sidecar = Sidecar.model_validate_json((own / SIDECAR).read_bytes())
    checkpoint = checkpoint_in(own, winner)
    os.link(checkpoint, folder / checkpoint.name)
    top = Path("models") / AGENT / checkpoint.name
    write_sidecar(sidecar.model_copy(update={"checkpoint_path": str(top)}), folder)


def checkpoint_in(folder: Path, family: Family) -> Path:
    """Where a family's checkpoint lies inside a folder."""
    return folder / f"best_model.{CHECKPOINT_FORMATS[family]}"
