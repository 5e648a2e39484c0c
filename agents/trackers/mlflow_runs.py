"""Log a run to MLflow: one run a family under a parent, with the diagnostics as its artifact."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar
from urllib.parse import unquote, urlsplit, urlunsplit

from agents.trackers.records import FamilyRecords, RunRecords, param_text

# What one request may hold, by MLflow's REST API; the oldest servers take values this long.
METRICS_A_REQUEST = 1000
PARAMS_A_REQUEST = 100
_VALUE_CHARACTERS = 500
_TAG_CHARACTERS = 5000
ARTIFACT = "training_diagnostics.json"
# Less than the copy may take: a server that does not answer is named, not only waited for.
_REQUEST_S = 10

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Point:
    """A metric at a step; at: milliseconds since the epoch."""

    name: str
    step: int
    value: float
    at: int


class RunLogger(Protocol):
    """What runs are logged with; MLflow's client behind it, or a test's."""

    def begin(self, name: str, tags: Mapping[str, str], at: int, parent: str | None) -> str:
        """Open a run, at milliseconds since the epoch; returns its id."""

    def log(self, run: str, points: Sequence[Point], params: Mapping[str, str]) -> None:
        """Keep a batch of numbers and parameters, in one request."""

    def attach(self, run: str, text: str, file_name: str) -> None:
        """Keep a text as a file."""

    def end(self, run: str, status: str, at: int) -> None:
        """Close a run. status: FINISHED or FAILED."""


def log_runs(records: RunRecords, document: str, logger: RunLogger) -> None:
    """Log everything. document: the diagnostics as JSON, secrets masked."""
    at = round(records.created_at.timestamp() * 1000)
    tags = records.tags | {"mlflow.note.content": records.headline}
    parent = logger.begin(records.run_id, _cut(tags), at, None)
    points = [Point(name, 0, value, at) for name, value in records.numbers.items()]
    _log(logger, parent, points, records.params)
    for family in records.families:
        run = logger.begin(family.family, _cut(family.tags), at, parent)
        _log(logger, run, list(_points(family, at)), family.params)
        logger.end(run, "FAILED" if family.tags["watcher.status"] == "failed" else "FINISHED", at)
    logger.attach(parent, document, ARTIFACT)
    logger.end(parent, "FINISHED", at)


def _points(family: FamilyRecords, at: int) -> Iterator[Point]:
    for name, value in family.numbers.items():
        yield Point(name, 0, value, at)
    for series in family.series:
        for step, value in zip(series.steps, series.values, strict=True):
            yield Point(series.name, step, value, at)


def _log(logger: RunLogger, run: str, points: Sequence[Point], params: Mapping[str, Any]) -> None:
    texts = [(name, param_text(value)[:_VALUE_CHARACTERS]) for name, value in params.items()]
    for part in _batches(texts, PARAMS_A_REQUEST):
        logger.log(run, (), dict(part))
    for batch in _batches(points, METRICS_A_REQUEST):
        logger.log(run, batch, {})


def _batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _cut(tags: Mapping[str, str]) -> dict[str, str]:
    return {name: value[:_TAG_CHARACTERS] for name, value in tags.items()}


def mlflow_logger(uri: str, experiment: str) -> RunLogger:
    """MLflow's client; raises ImportError where it is not installed.

    uri: a server, a database or a folder. User and password of a server go into this process's
    environment, where MLflow looks for them, and out of every sentence that quotes the address.
    """
    bare, user, password = _without_user(uri)
    if user is not None:
        os.environ["MLFLOW_TRACKING_USERNAME"] = user
        os.environ["MLFLOW_TRACKING_PASSWORD"] = password
    os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = str(_REQUEST_S)
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "1"
    # A folder is what a person has named; newer versions take one only where this is said.
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    # It would tell its makers about its use.
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param

    client = MlflowClient(tracking_uri=bare)
    found = client.get_experiment_by_name(experiment)
    in_experiment = client.create_experiment(experiment) if found is None else found.experiment_id

    class Logger:
        def begin(self, name: str, tags: Mapping[str, str], at: int, parent: str | None) -> str:
            more = {"mlflow.source.name": "watcher"}
            more |= {"mlflow.parentRunId": parent} if parent is not None else {}
            run = client.create_run(in_experiment, at, {**tags, **more}, run_name=name)
            run_id: str = run.info.run_id
            return run_id

        def log(self, run: str, points: Sequence[Point], params: Mapping[str, str]) -> None:
            client.log_batch(
                run,
                metrics=[Metric(p.name, p.value, p.at, p.step) for p in points],
                params=[Param(name, value) for name, value in params.items()],
            )

        def attach(self, run: str, text: str, file_name: str) -> None:
            client.log_text(run, text, file_name)

        def end(self, run: str, status: str, at: int) -> None:
            client.set_terminated(run, status, at)

    return Logger()


def _without_user(uri: str) -> tuple[str, str | None, str]:
    """The address of a server without user and password, which come beside it.

    Other addresses stay as they are: a database's driver wants its password in them.
    """
    parts = urlsplit(uri)
    if parts.scheme not in {"http", "https"} or "@" not in parts.netloc:
        return uri, None, ""
    user_info, _, host = parts.netloc.rpartition("@")
    user, _, password = user_info.partition(":")
    return urlunsplit(parts._replace(netloc=host)), unquote(user), unquote(password)
