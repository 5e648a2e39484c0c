"""Find the run that --resume goes on with, and what must be as it was."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from agents.decide import Tried
from agents.errors import ParameterError, UsageError
from agents.ledger import Ledger
from agents.parameters import Given
from agents.secrets import MASK
from agents.workspace import Workspace

LAST = "last"
# Runs that are looked through for one that is not complete.
_LOOKED_BACK = 50
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
    of the parameters that a person has given in a later resume (over_retries). cwd: the folder that
    it was started in. masked: parameters of which the ledger keeps no more than that they held a
    secret.
    """

    run_id: str
    ended: str
    start: int
    end: int
    given: Given
    attempts: Mapping[int, int]
    tried: Tried
    cwd: Path | None
    over_retries: frozenset[str]
    masked: frozenset[str]

    def changes(self, step: int) -> dict[str, Any]:
        """What retries have changed in a step's parameters and nobody has given anew."""
        changes = self.tried.changes(step).items()
        return {name: value for name, value in changes if name not in self.over_retries}

    def with_given(self, now: Given) -> Resumption:
        """The same run with what a person gives now over all that was; raises ParameterError."""
        return replace(
            self,
            given=_overlaid(self.given, now, self.masked),
            masked=self.masked - frozenset(now.values),
            over_retries=self.over_retries | frozenset(now.values),
        )

    def still_holds(self, ledger: Ledger) -> bool:
        """Whether the run is as it was when this was read."""
        row = ledger.resumable_run(self.run_id)
        return row is not None and _attempts(ledger, self.run_id) == self.attempts


def find_resumable(
    workspace: Workspace, now: Callable[[], datetime], named: str = LAST
) -> Resumption:
    """A pipeline run that has not ended well; raises UsageError if there is none such.

    named: "last", for the last pipeline run; else a run id or its beginning, if that is of one run
    only.
    """
    if not workspace.ledger_file.exists():
        raise UsageError(f"--resume: nothing has run in {workspace.root}")
    with Ledger.read(workspace.ledger_file, now) as ledger:
        row = ledger.resumable_run() if named == LAST else _named(ledger, named)
        if row is None:
            raise UsageError(f"--resume: {_none_to_go_on_with(workspace, ledger)}")
        return _resumption(row, ledger)


def _named(ledger: Ledger, named: str) -> Mapping[str, Any]:
    found = ledger.run_ids_from(named, 2) if named.strip() else []
    if len(found) != 1:
        how = "is the beginning of several runs" if found else "is no run"
        raise UsageError(f"--resume: {named!r} {how}; `watcher --history` lists them")
    row = ledger.resumable_run(found[0])
    if row is None:
        raise UsageError(f"--resume: run {found[0]} has done its work, or is no pipeline run")
    return row


def _none_to_go_on_with(workspace: Workspace, ledger: Ledger) -> str:
    unfinished = [
        f"{row['run_id']} ({row['state']})"
        for row in ledger.runs(_LOOKED_BACK)
        if row["kind"] == "pipeline" and row["state"] in _ENDED
    ]
    if unfinished:
        return (
            "the last run has done its work; earlier ones that are not: "
            f"{', '.join(unfinished[:3])}; name one: --resume {unfinished[0].split()[0]}"
        )
    return (
        f"there is no run in {workspace.root} to go on with; "
        "the last one has done its work, or there was none; leave --resume out to start a new one"
    )


def _resumption(row: Mapping[str, Any], ledger: Ledger) -> Resumption:
    request = json.loads(row["request"])
    when = datetime.fromisoformat(row["ended_at"] or row["started_at"])
    return Resumption(
        run_id=row["run_id"],
        ended=f"{_ENDED[row['state']]} ({when:%Y-%m-%d %H:%M})",
        start=request["start_step"],
        end=request["end_step"],
        given=Given(request["params"], frozenset(request.get("from_file", ()))),
        attempts=_attempts(ledger, row["run_id"]),
        tried=Tried.from_rows(ledger.decisions(row["run_id"])),
        cwd=Path(request["cwd"]) if "cwd" in request else None,
        over_retries=frozenset(request.get("over_retries", ())),
        masked=_masked(request),
    )


def _attempts(ledger: Ledger, run_id: str) -> Counter[int]:
    return Counter(attempt["step"] for attempt in ledger.attempts(run_id))


def _masked(request: Mapping[str, Any]) -> frozenset[str]:
    """The names of masked parameters; a run of an older watcher has not kept them."""
    guess = (name for name, value in request["params"].items() if MASK in json.dumps(value))
    return frozenset(request.get("masked", guess))


def _overlaid(before: Given, now: Given, masked: frozenset[str]) -> Given:
    """The parameters of the stopped run under those given now; raises ParameterError on a secret.

    The ledger keeps no passwords, so a parameter that held one must be given again.
    """
    for name in before.values:
        if name in masked and name not in now.values:
            raise ParameterError(
                f"--resume: {name} held a secret, which is kept nowhere; give it in --params again"
            )
    from_file = (before.from_file - frozenset(now.values)) | now.from_file
    return Given(before.values | now.values, from_file)
