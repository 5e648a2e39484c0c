"""Find the run that --resume goes on with, and what must be as it was."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from agents.decide import Tried
from agents.errors import ParameterError, UsageError
from agents.ledger import Ledger
from agents.parameters import Given
from agents.secrets import MASK
from agents.workspace import Workspace

_ENDED = {
    "halted": "was halted",
    "interrupted": "was interrupted",
    "failed": "failed",
    "waiting": "waits for approval",
    "running": "lost its watcher",
}


@dataclass(frozen=True, slots=True)
class Resumption:
    """A run to go on with. ended: how it ended, in words; start, end: its range of steps.

    attempts: attempts made so far, by step. tried: the retries so far, whose changes stay, except
    of the parameters that a person gives now.
    """

    run_id: str
    ended: str
    start: int
    end: int
    given: Given
    attempts: Mapping[int, int]
    tried: Tried
    given_now: frozenset[str] = frozenset()

    def changes(self, step: int) -> dict[str, Any]:
        """What retries have changed in a step's parameters and nobody has given anew."""
        changes = self.tried.changes(step).items()
        return {name: value for name, value in changes if name not in self.given_now}


def find_resumable(workspace: Workspace, now: Callable[[], datetime]) -> Resumption:
    """The last pipeline run, if it has not ended well; raises UsageError if there is none."""
    if not workspace.ledger_file.exists():
        raise UsageError(f"--resume: nothing has run in {workspace.root}")
    with Ledger.read(workspace.ledger_file, now) as ledger:
        return _resumption(workspace, ledger)


def _resumption(workspace: Workspace, ledger: Ledger) -> Resumption:
    row = ledger.resumable_run()
    if row is None:
        raise UsageError(
            f"--resume: there is no run in {workspace.root} to go on with; "
            "the last one is complete, or there was none; leave --resume out to start a new one"
        )
    request = json.loads(row["request"])
    when = datetime.fromisoformat(row["ended_at"] or row["started_at"])
    return Resumption(
        run_id=row["run_id"],
        ended=f"{_ENDED[row['state']]} ({when:%Y-%m-%d %H:%M})",
        start=request["start_step"],
        end=request["end_step"],
        given=Given(request["params"], frozenset(request.get("from_file", ()))),
        attempts=Counter(attempt["step"] for attempt in ledger.attempts(row["run_id"])),
        tried=Tried.from_rows(ledger.decisions(row["run_id"])),
    )


def overlaid(before: Given, now: Given) -> Given:
    """The parameters of the stopped run under those given now; raises ParameterError on a secret.

    The ledger keeps no passwords, so a parameter that held one must be given again.
    """
    for name, value in before.values.items():
        if name not in now.values and MASK in json.dumps(value):
            raise ParameterError(
                f"--resume: {name} held a secret, which is kept nowhere; give it in --params again"
            )
    from_file = (before.from_file - frozenset(now.values)) | now.from_file
    return Given(before.values | now.values, from_file)
