"""Headless Chromium for tests of pages, spoken to through a pipe: no port, no network."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

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

    PATIENCE_S = 60.0

    def __init__(self, program: str, profile: Path) -> None:
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        self._process = subprocess.Popen(
            [
                sys.executable, "-S", "-c", _LAUNCH, str(theirs_in), str(theirs_out), program,
                "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                "--hide-scrollbars",
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
        for domain in ("Page", "Runtime", "Log", "Network"):
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

    def open(
        self, address: str, width: int = 1200, height: int = 900, scheme: str = "light"
    ) -> None:
        """Show a page, and wait until it has been loaded."""
        self.complaints.clear()
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        self.scheme(scheme)
        self.call("Page.navigate", url=address)
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    def scheme(self, scheme: str) -> None:
        """What the person at the screen prefers: light or dark."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=features)

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
            case "Network.requestWillBeSent":
                url = facts["request"]["url"]
                if not url.startswith(("file:", "data:", "blob:", "http://127.0.0.1:")):
                    self.complaints.append(f"asks for {url[:200]}")


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
