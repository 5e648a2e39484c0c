"""Refuse to go on with files that are not of one run of Step 1, or with a history that changed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from steps.contract import Note
from steps.errors import StepRefused
from steps.files import sha256_file
from steps.forensics.documents import WindowConfig

_AGAIN = "with its parameters: watcher --run-pipeline --start-step {step} --end-step 6"


def check_lineage(
    window: WindowConfig, inputs: Mapping[str, Path], workspace: Path
) -> tuple[Note, ...]:
    """Raise StepRefused unless the inputs belong to the document, and it to the history.

    inputs: by name; of "train", "holdout" and "survivors" those that are there are looked at.
    workspace: what the history's path is from, where it is relative. Returns notes: that the
    history is gone, and was not compared.
    """
    wanted = {
        "train": window.train_sha256,
        "holdout": window.holdout_sha256,
        "survivors": window.survivors_sha256,
    }
    for name, sha256 in wanted.items():
        if name not in inputs:
            continue
        path = inputs[name]
        got = _sha256(path)
        if got != sha256:
            raise StepRefused(
                "bad_input",
                f"{path}: wanted the file that {inputs['window'].name} of run {window.run_id} "
                f"belongs to, with SHA-256 {sha256}, got one with {got}; run from step 1 again, "
                f"{_AGAIN.format(step=1)}",
            )
    return _check_history(window, workspace)


def _check_history(window: WindowConfig, workspace: Path) -> tuple[Note, ...]:
    facts = window.history
    path = workspace / facts.path
    if not path.is_file():
        text = f"the draw history {path} is gone, so it was not compared with the one of step 1"
        return (Note(level="info", code="history_gone", message=text),)
    got = _sha256(path)
    if got != facts.sha256:
        raise StepRefused(
            "bad_input",
            f"{path}: the history has changed since step 1: wanted SHA-256 {facts.sha256}, got "
            f"{got}; run from step 0 again, {_AGAIN.format(step=0)}",
        )
    return ()


def _sha256(path: Path) -> str:
    try:
        return sha256_file(path)
    except OSError as error:
        raise StepRefused("bad_input", f"{path}: cannot be read: {error}") from error
