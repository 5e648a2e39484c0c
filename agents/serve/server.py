"""Serve until people ask to stop: Ctrl-C ends with 130, SIGTERM and a closed terminal with 0."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from agents.interrupts import handle_with, put_back
from agents.serve.guard import Guard
from agents.serve.place import Place
from steps.contract import ExitCode

# Seconds that answers under way get when people ask to stop.
_GRACE_S = 2
_MOST_CONNECTIONS = 200


class PageServer(uvicorn.Server):
    """An application at a place. asked: the signal that came first, None while nobody has asked."""

    def __init__(self, application: ASGIApp, place: Place) -> None:
        super().__init__(
            uvicorn.Config(
                Guard(application, place),
                lifespan="off",
                ws="none",
                http="h11",
                loop="asyncio",
                access_log=False,  # addresses may hold a token
                log_config=None,
                log_level="warning",
                proxy_headers=False,
                server_header=False,
                limit_concurrency=_MOST_CONNECTIONS,
                timeout_graceful_shutdown=_GRACE_S,
            )
        )
        self._place = place
        self.asked: signal.Signals | None = None

    def serve_until_asked(self) -> ExitCode:
        """Serve; the place stays open. In the main thread signals end it, elsewhere `ask` does."""
        self.run(sockets=[self._place.listener])
        return ExitCode.INTERRUPTED if self.asked == signal.SIGINT else ExitCode.DONE

    def ask(self) -> None:
        """Ask it to stop; returns at once."""
        self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """In uvicorn's place: a hang-up ends it too, and nothing is raised afterwards."""
        try:
            before = handle_with(self._note)
        except ValueError:  # not the main thread: signals are somebody else's
            yield
            return
        try:
            yield
        finally:
            put_back(before)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.force_exit = self.asked is not None  # the second time: now
        self.asked = self.asked or signal.Signals(number)
        self.should_exit = True
