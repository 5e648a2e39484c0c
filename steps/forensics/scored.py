"""The table of scored survivors: its file, and the facts about it that lie in the file itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
from pyarrow import parquet
from pydantic import Field, ValidationError

from steps.contract import Frozen
from steps.errors import StepRefused
from steps.files import atomic_writer
from steps.policies import validation_message

TARGET = "holdout_hits"
TRIALS = "holdout_trials"
CANDIDATE_ID = "candidate_id"

_KEY = b"watcher.scored"


class ScoredFacts(Frozen):
    """Where a table comes from and what is in it. Without run or time: equal tables, equal files.

    survivors_sha256, train_sha256, holdout_sha256: of the files that it was made from. survivors,
    controls: rows of either kind. proven, copies: candidates left out, beyond chance already or
    the same as a better one. feature_names: in order; dropped: why others were left out.
    nothing_to_learn: the reason where no model can be trained on it.
    """

    schema_version: Literal[1] = 1
    survivors_sha256: str
    train_sha256: str
    holdout_sha256: str
    survivors: int
    controls: int
    proven: int
    copies: int
    holdout_trials: int
    feature_names: tuple[str, ...]
    dropped: dict[str, str] = Field(default_factory=dict)
    nothing_to_learn: str | None = None


def write_scored(path: Path, columns: Mapping[str, Any], facts: ScoredFacts) -> None:
    """Write the table atomically; columns: pyarrow arrays or numpy arrays of equal length."""
    table = pa.table(dict(columns))
    table = table.replace_schema_metadata({_KEY: facts.model_dump_json().encode()})
    with atomic_writer(path) as file:
        parquet.write_table(table, file)


def read_scored_facts(path: Path) -> ScoredFacts:
    """The facts of a table that write_scored has written; StepRefused names file and key."""
    try:
        metadata = parquet.read_schema(path).metadata or {}
    except (OSError, pa.ArrowException) as error:
        raise StepRefused("bad_input", f"{path}: cannot be read: {error}") from error
    if _KEY not in metadata:
        raise StepRefused(
            "bad_input", f"{path}: wanted the table that step 3 writes, got one without its facts"
        )
    try:
        return ScoredFacts.model_validate_json(metadata[_KEY])
    except ValidationError as error:
        raise StepRefused("bad_input", f"{path}: {validation_message(error)}") from error


def nothing_to_learn(path: Path) -> str | None:
    """Why no model can be trained on a table of write_scored; None where one can, or for any other
    file.
    """
    if path.suffix != ".parquet":
        return None
    try:
        metadata = parquet.read_schema(path).metadata or {}
    except (OSError, pa.ArrowException):
        return None  # whoever reads the table says what is wrong with it
    return read_scored_facts(path).nothing_to_learn if _KEY in metadata else None
