"""A workspace with a run in it, its pages served by the real server, and a real browser."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
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


# Chromium listens at descriptor 3 and answers at 4.
_LAUNCH = """
import os, sys
theirs = [int(number) for number in sys.argv[1:3]]
for place in range(2):
    while theirs[place] <= 4:
        theirs[place] = os.dup(theirs[place])
os.dup2(theirs[0], 3)
os.dup2(theirs[1], 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


class Browser:
    """Headless Chromium, spoken to through a pipe: no port, no driver, no network."""

    PATIENCE_S = 30.0

    def __init__(self, program: str, profile: Path) -> None:
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        self._process = subprocess.Popen(
            [
                sys.executable, "-S", "-c", _LAUNCH, str(theirs_in), str(theirs_out), program,
                "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                "--no-first-run", "--disable-background-networking", "--disable-extensions",
                f"--user-data-dir={profile}", "--remote-debugging-pipe", "about:blank",
            ],
            pass_fds=(theirs_in, theirs_out),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "TMPDIR": str(profile)},
            start_new_session=True,
        )  # fmt: skip
        os.close(theirs_in)
        os.close(theirs_out)
        self._held = b""
        self._number = 0
        self._session: str | None = None
        self.complaints: list[str] = []

    def new_page(self) -> None:
        """Work in a page of its own from now on, without the cookies of those before."""
        self._session = None
        context = self.call("Target.createBrowserContext")["browserContextId"]
        page = self.call("Target.createTarget", url="about:blank", browserContextId=context)
        attached = self.call("Target.attachToTarget", targetId=page["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        self.complaints.clear()

    def call(self, method: str, **params: Any) -> Any:
        """One command and its answer; what the page complains of meanwhile is kept."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while (answer := self._receive()).get("id") != self._number:
            self._hear(answer)
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def open(self, address: str) -> None:
        self.call("Page.navigate", url=address)
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    def value(self, expression: str) -> Any:
        """What an expression of JavaScript comes to; a promise is waited for."""
        found = self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def until(self, condition: str) -> None:
        """Wait for a condition in the page; the test fails if it does not come true."""
        give_up_ms = int(self.PATIENCE_S * 500)
        came_true = self.value(
            "new Promise(tell => { const start = Date.now(); const look = () => {"
            f"if ({condition}) tell(true); else if (Date.now() - start > {give_up_ms}) tell(false);"
            "else setTimeout(look, 20); }; look(); })"
        )
        assert came_true, (condition, self.value("document.body.innerText"))

    def close(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._in)
        os.close(self._out)

    def _receive(self) -> dict[str, Any]:
        give_up_at = time.monotonic() + self.PATIENCE_S
        while b"\0" not in self._held:
            left_s = max(0.0, give_up_at - time.monotonic())
            ready, _, _ = select.select([self._in], [], [], left_s)
            assert ready, "the browser does not answer"
            piece = os.read(self._in, 1 << 16)
            assert piece, "the browser has ended"
            self._held += piece
        message, _, self._held = self._held.partition(b"\0")
        read: dict[str, Any] = json.loads(message)
        return read

    def _hear(self, event: dict[str, Any]) -> None:
        if event.get("sessionId") != self._session:
            return
        facts = event.get("params", {})
        match event.get("method"):
            case "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(facts["exceptionDetails"])[:500])
            case "Runtime.consoleAPICalled" if facts["type"] in {"error", "warning", "assert"}:
                self.complaints.append(json.dumps(facts["args"])[:500])
            case "Log.entryAdded" if facts["entry"]["level"] in {"error", "warning"}:
                self.complaints.append(facts["entry"]["text"])


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    program = next((found for name in names if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"none of {', '.join(names)} is installed")
    with contextlib.closing(Browser(program, tmp_path_factory.mktemp("chromium"))) as made:
        yield made


@pytest.fixture
def browser(chromium: Browser) -> Browser:
    """An empty page."""
    chromium.new_page()
    return chromium
