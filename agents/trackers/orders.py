"""What the watcher tells the process that copies results: one JSON object on its stdin.

On stdin because it may hold a password, which neither the list of processes nor a file may show.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from steps.contract import Frozen

Tracker = Literal["tensorboard", "mlflow"]


class CopyOrder(Frozen):
    """diagnostics: the run's JSON file. target: a folder for event files, or an MLflow address.

    experiment: what MLflow files the runs under. limit_s: seconds after which the process ends
    itself, should nobody have ended it.
    """

    tracker: Tracker
    diagnostics: str
    target: str
    experiment: str
    limit_s: Annotated[float, Field(gt=0)]
