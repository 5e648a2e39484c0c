"""A workspace with a run in it, and its pages served by the real server."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agents.health import Ending, Verdict
from agents.ledger import Ledger
from agents.lock import Holder, process_start
from agents.parameters import Parameter
from agents.serve.application import make_application
from agents.serve.place import take_place
from agents.serve.run_reports import Makers, RunReports, report_makers
from agents.serve.server import PageServer
from agents.serve.sight import Sight
from agents.serve.studies import StudyFiles
from agents.workspace import Workspace
from steps.contract import FamilyProgress, Progress, StepRequest, StepResult, TrialNow
from steps.files import replace_quickly, write_text_atomic
from steps.policies import Policy

BEGAN = datetime(2026, 11, 22, 2, 3, 18, tzinfo=UTC)
RUN = "20261122-020318-ab12"


class Clock:
    """The time here: so long after the run began."""

    later_s = 0.0

    def __call__(self) -> datetime:
        return BEGAN + timedelta(seconds=self.later_s)


class Site:
    """A workspace whose run a test makes up."""

    def __init__(self, root: Path, ledger: Ledger, clock: Clock) -> None:
        self.workspace = Workspace(root)
        self.ledger = ledger
        self.clock = clock
        self.policy = Policy()
        self.folder = self.workspace.attempt_folder(RUN, "step5", 1)
        self._attempt_id = 0

    def read_policy(self) -> Policy:
        return self.policy

    def start(self, run_id: str = RUN, *, alive: bool = True, request: Any = None) -> None:
        holder = Holder(
            pid=os.getpid(),
            process_start=process_start(os.getpid()) if alive else "another life of this pid",
            host=socket.gethostname(),
            since=BEGAN,
            doing="step 5",
        )
        self.ledger.run_started(run_id, "pipeline", request or {}, holder.model_dump_json(), "0.1")

    def attempt(self, *, params: dict[str, Any] | None = None, run_id: str = RUN) -> None:
        self._attempt_id = self.ledger.attempt_started(
            run_id,
            5,
            1,
            agent_name="reinforcement",
            title="Train",
            module="steps.step5_training",
            out_dir=str(self.folder),
            limit_s=3600,
            parameters=tuple(Parameter(k, v, "params") for k, v in (params or {}).items()),
        )
        request = StepRequest(
            run_id=run_id,
            step=5,
            attempt=1,
            params=params or {},
            inputs={},
            workspace=str(self.workspace.root),
            policy_path="",
            out_dir=str(self.folder),
        )
        write_text_atomic(self.folder / "request.json", request.model_dump_json())

    def progress(self, complete: int = 3, phase: str = "searching", **changes: Any) -> None:
        running = (TrialNow(trial=complete, fold=2, folds=5, device="cpu-slot-0"),)
        facts = {
            "families": {
                "lightgbm": FamilyProgress(
                    trials=20, complete=complete, pruned=1, best=0.5 + complete / 100,
                    running=running,
                ),
                "neural_net": FamilyProgress(trials=20, failed=2),
            },
            "elapsed_s": 60.0,
            "time_left_s": 200.0,
            "updated_at": BEGAN + timedelta(seconds=89),
        }  # fmt: skip
        snapshot = Progress(run_id=RUN, step=5, attempt=1, phase=phase, **(facts | changes))
        replace_quickly(self.folder / "progress.json", snapshot.model_dump_json())

    def log(self, text: str) -> None:
        (self.folder / "log.txt").write_text(text, encoding="utf-8")

    def end(self, result: dict[str, Any] | None = None, outcome: str = "complete") -> None:
        ending = Ending(exit_code=0, signal=None, duration_s=61, limit_s=3600)
        verdict = Verdict(outcome, "ok", "so it went")  # type: ignore[arg-type]
        made = None
        if result is not None:
            facts = {"run_id": RUN, "step": 5, "attempt": 1, "status": "complete", **result}
            made = StepResult.model_validate(facts)
            write_text_atomic(self.folder / "result.json", made.model_dump_json())
        self.ledger.attempt_ended(self._attempt_id, ending, verdict, made)
        self.ledger.run_ended(RUN, outcome, 0, "so it went")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    root = tmp_path / "my workspace"
    (root / ".watcher").mkdir(parents=True)
    clock = Clock()
    with Ledger.create(root / ".watcher" / "ledger.sqlite", clock) as ledger:
        yield Site(root, ledger, clock)


@dataclass(frozen=True)
class Got:
    status: int
    headers: http.client.HTTPMessage
    text: str

    @property
    def document(self) -> Any:
        return json.loads(self.text)


@dataclass(frozen=True)
class Served:
    """Pages at a port of this machine."""

    port: int
    token: str | None
    server: PageServer

    def ask(self, path: str, method: str = "GET", **headers: str) -> Got:
        """headers: with _ for -; Host is this server's unless given, "" leaves it out."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        with contextlib.closing(connection):
            connection.putrequest(method, path, skip_host=True)
            sent = {"Host": f"127.0.0.1:{self.port}"} | {
                name.replace("_", "-"): value for name, value in headers.items()
            }
            for name, value in sent.items():
                if value:
                    connection.putheader(name, value)
            connection.endheaders()
            answer = connection.getresponse()
            return Got(answer.status, answer.headers, answer.read().decode("utf-8"))


@pytest.fixture
def serve(site: Site) -> Iterator[Callable[..., Served]]:
    """Serve the site; every server is stopped at the end of the test."""
    with contextlib.ExitStack() as stack:

        def start(
            host: str = "127.0.0.1",
            port: int = 0,
            environ: dict[str, str] | None = None,
            page: Callable[[str], str] | None = None,
        ) -> Served:
            place = stack.enter_context(take_place(host, port, environ or {}))
            ticks = iter(range(1_000_000))  # a clock that makes every look a fresh one
            sight = Sight(
                site.workspace, site.read_policy, lambda: (), site.clock, lambda: next(ticks)
            )
            makers = report_makers(site.workspace, site.clock)
            reports = RunReports(site.workspace, Makers(page or makers.page, makers.document))
            application = make_application(sight, reports, StudyFiles(site.workspace))
            server = PageServer(application, place)
            thread = threading.Thread(target=server.serve_until_asked, daemon=True)
            thread.start()
            served = Served(place.port, place.token, server)
            stack.callback(thread.join, 10)
            stack.callback(server.ask)
            return served

        yield start


@pytest.fixture
def diagnostics(site: Site) -> Callable[..., Path]:
    """Write the diagnostics of a run, as little as the schema allows."""

    def write(run_id: str = RUN, **changes: Any) -> Path:
        path = site.workspace.root / "diagnostics_outputs" / "history" / f"{run_id}.json"
        document = {
            "schema_version": 2,
            "run_id": run_id,
            "created_at": "2026-11-22T03:00:00Z",
            "headline": "lightgbm explains most of it",
            "collected": True,
            "winner": "lightgbm",
            "signal": None,
            "families": {},
            **changes,
        }
        write_text_atomic(path, json.dumps(document))
        return path

    return write
