"""Answer requests: the pages for people, the same facts as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from agents.errors import WatcherError
from agents.reports.documents import status_document
from agents.reports.explain import Explanation
from agents.reports.history import history_document
from agents.secrets import mask_text
from agents.serve.run_reports import RunReports
from agents.serve.sight import Live, Sight
from agents.serve.studies import DASHBOARD, StudyFiles, has_dashboard
from agents.serve.templates import environment
from agents.views.explain_view import explanation_document
from agents.views.run_view import best_family
from steps.policies import PolicyError

RUNS_SHOWN = 50
MOST_RUNS = 5000
_STATIC = Path(__file__).parent / "static"
_STATIC_FILES = {
    "page.css": "text/css",
    "live.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
# A report is one file that brings its scripts along. The sandbox gives it an origin of its own, so
# that nothing in it can read anything else here.
REPORT_POLICY = (
    "sandbox allow-scripts allow-downloads; default-src 'none'; "
    "script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; font-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def make_application(sight: Sight, reports: RunReports, studies: StudyFiles) -> Starlette:
    """The pages of a workspace. They only read; who may ask is the guard's business."""
    pages = _Pages(sight, reports, studies)
    routes = [
        Route("/", pages.now),
        Route("/live", pages.live),
        Route("/runs", pages.runs),
        Route("/runs/{run_id}", pages.story),
        Route("/reports", pages.reports),
        Route("/reports/{run_id}", pages.report),
        Route("/studies", pages.studies),
        Route("/api/status", pages.status_json),
        Route("/api/runs", pages.runs_json),
        Route("/api/runs/{run_id}", pages.story_json),
        Route("/api/reports/{run_id}", pages.report_json),
        Route("/api/studies", pages.studies_json),
        *(Route(f"/static/{name}", _file(name, kind)) for name, kind in _STATIC_FILES.items()),
    ]
    handlers: Mapping[Any, Callable[[Request, Exception], Response]] = {
        HTTPException: pages.not_there,
        WatcherError: pages.not_now,
        PolicyError: pages.not_now,
        OSError: pages.not_now,
    }
    return Starlette(routes=routes, exception_handlers=handlers)


class _Pages:
    """One method an address. They run in threads of their own, so that a slow disk stalls none."""

    def __init__(self, sight: Sight, reports: RunReports, studies: StudyFiles) -> None:
        self._sight = sight
        self._reports = reports
        self._studies = studies
        self._templates = environment()

    def now(self, _request: Request) -> Response:
        """What runs, or ran last; it renews itself."""
        return self._page("now.html", "Now", **self._live_facts())

    def live(self, _request: Request) -> Response:
        """The part of that page that changes."""
        return HTMLResponse(self._templates.get_template("live.html").render(self._live_facts()))

    def runs(self, request: Request) -> Response:
        """The runs there were."""
        limit = _limit(request)
        history = self._sight.history(limit)
        reported = {run.run_id for run in history.runs if self._reports.has(run.run_id)}
        return self._page(
            "runs.html", "Runs", history=history, reported=reported, more=min(limit * 5, MOST_RUNS)
        )

    def story(self, request: Request) -> Response:
        """Why a run went as it did."""
        found = self._story(request)
        reported = self._reports.has(found.run_id)
        return self._page("story.html", f"Run {found.run_id}", found=found, reported=reported)

    def reports(self, _request: Request) -> Response:
        """The reports there are."""
        found, more = self._reports.all()
        history = self._sight.history(RUNS_SHOWN) if found else None
        known = {run.run_id: run for run in history.runs} if history else {}
        return self._page("reports.html", "Reports", reports=found, more=more, known=known)

    def report(self, request: Request) -> Response:
        """The report of a run; where no page can be made of it, why."""
        run_id = request.path_params["run_id"]
        try:
            page = self._reports.page(run_id)
        except WatcherError as fault:
            said = mask_text(str(fault))
            return self._page("problem.html", f"Report {run_id}", 500, said=said)
        if page is None:
            raise HTTPException(404, "there is no report of this run")
        return HTMLResponse(page, headers={"Content-Security-Policy": REPORT_POLICY})

    def studies(self, _request: Request) -> Response:
        """The studies that Step 5 has kept."""
        return self._page(
            "studies.html",
            "Studies",
            files=self._studies.read(),
            has_dashboard=has_dashboard(),
            dashboard=DASHBOARD,
        )

    def status_json(self, _request: Request) -> Response:
        """As `watcher --status --json`, with what the page shows beside it."""
        live = self._sight.live()
        more = {"elapsed_s": live.elapsed_s, "left_s": live.left_s, "silent_s": live.silent_s}
        return _json(status_document(live.status) | {"live": more | {"log": live.log}})

    def runs_json(self, request: Request) -> Response:
        """As `watcher --history --json`."""
        return _json(history_document(self._sight.history(_limit(request))))

    def story_json(self, request: Request) -> Response:
        """As `watcher --explain RUN --json`."""
        return _json(explanation_document(self._story(request)))

    def report_json(self, request: Request) -> Response:
        """The diagnostics of a run, secrets masked."""
        document = self._reports.document(request.path_params["run_id"])
        if document is None:
            raise HTTPException(404, "there is no report of this run")
        return Response(document, media_type="application/json")

    def studies_json(self, _request: Request) -> Response:
        """Every study with its counts."""
        return _json({"status": "ok", "files": [asdict(file) for file in self._studies.read()]})

    def not_there(self, request: Request, fault: Exception) -> Response:
        """An address that leads nowhere."""
        assert isinstance(fault, HTTPException)  # noqa: S101 - registered for it
        return self._problem(request, fault.status_code, fault.detail)

    def not_now(self, request: Request, fault: Exception) -> Response:
        """The workspace cannot be read just now."""
        return self._problem(request, 503, mask_text(str(fault)))

    def _problem(self, request: Request, code: int, said: str) -> Response:
        if request.url.path.startswith("/api/"):
            return _json({"status": "error", "message": said}, code)
        if request.url.path == "/live":  # the page shows it above what it showed before
            return Response(said, code, media_type="text/plain")
        return self._page("problem.html", "Not to be shown", code, said=said)

    def _story(self, request: Request) -> Explanation:
        found = self._sight.story(request.path_params["run_id"])
        if found is None:
            raise HTTPException(404, "there is no run of this name")
        return found

    def _live_facts(self) -> dict[str, Any]:
        live = self._sight.live()
        return {
            "live": live,
            "run": live.status.run,
            "attempt": live.attempt,
            "leader": _leader(live),
            "share": _share(live),
            "reported": live.status.run is not None and self._reports.has(live.status.run.run_id),
        }

    def _page(self, template: str, title: str, status_code: int = 200, **facts: Any) -> Response:
        facts |= {"title": title, "workspace": self._sight.workspace.root}
        return HTMLResponse(self._templates.get_template(template).render(facts), status_code)


def _leader(live: Live) -> str | None:
    """The family with the best score so far."""
    progress = live.attempt.progress if live.attempt else None
    found = best_family(progress) if progress is not None else None
    return None if found is None else found[0]


def _share(live: Live) -> int | None:
    """How much of the search is done, percent; None where there is none to speak of."""
    progress = live.attempt.progress if live.attempt else None
    trials = sum(family.trials for family in progress.families.values()) if progress else 0
    if progress is None or not trials:
        return None
    return 100 * sum(family.finished for family in progress.families.values()) // trials


def _limit(request: Request) -> int:
    text = request.query_params.get("limit", str(RUNS_SHOWN))
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(MOST_RUNS))
    if not (is_number and 1 <= int(text) <= MOST_RUNS):
        raise HTTPException(400, f"limit must be 1..{MOST_RUNS}")
    return int(text)


def _json(document: dict[str, Any], status_code: int = 200) -> Response:
    # ASCII: what a file or a name holds that is no text must not break the answer.
    text = json.dumps(document, indent=1, default=str)
    return Response(text + "\n", status_code, media_type="application/json")


def _file(name: str, kind: str) -> Callable[[Request], Response]:
    content = (_STATIC / name).read_bytes()

    def answer(_request: Request) -> Response:
        return Response(content, media_type=kind)

    return answer
