"""Print why a run went as it did: step by step, then everything in order of time."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.text import Text

from agents.durations import words
from agents.reports.decided import Decided
from agents.reports.explain import (
    ExplainedAttempt,
    ExplainedStep,
    Explanation,
    MadeFile,
    Moment,
)
from agents.views.screen import SEVERITY_STYLE, bullets, first_line, heading, pairs
from steps.strict_json import shown

_SHA = 12  # characters of a hash that people compare
_ACTION_STYLE = {"next": "green", "retry": "yellow", "stop": "red", "skip": "cyan"}


def show_explanation(console: Console, found: Explanation) -> None:
    """The whole of --explain."""
    _show_head(console, found)
    for step in found.steps:
        console.print()
        _show_step(console, step)
    if not found.steps:
        console.print("\nNo step was decided about.")
    if found.approvals:
        console.print()
        heading(console, "Approvals")
        bullets(
            console,
            [
                f"{approval.what}: "
                + (
                    f"{approval.answered}, {_when(approval.answered_at)}"
                    + (f" ({approval.note})" if approval.note else "")
                    if approval.answered_at is not None
                    else f"asked for {_when(approval.asked_at)}, not given yet; "
                    f"`watcher --approve {found.run_id}`"
                )
                for approval in found.approvals
            ],
        )
    console.print()
    heading(console, "In order of time")
    # A run that was resumed may go over days.
    one_day = len({moment.at.date() for moment in found.timeline}) == 1
    clock = "%H:%M:%S" if one_day else "%Y-%m-%d %H:%M:%S"
    pairs(console, [(f"{moment.at:{clock}}", _line(moment)) for moment in found.timeline])


def explanation_document(found: Explanation) -> dict[str, Any]:
    """The explanation for programs; times are ISO 8601."""
    document: dict[str, Any] = _plain(asdict(found))
    # `status` and `exit_code` of a document are this command's own.
    run = {"state": document.pop("state"), "run_exit_code": document.pop("exit_code")}
    return {"status": "ok", "exit_code": 0, **run, **document}


def _show_head(console: Console, found: Explanation) -> None:
    code = "" if found.exit_code is None else f", exit code {found.exit_code}"
    console.print(Text(f"run {found.run_id}: {found.state}{code}", style="bold"), soft_wrap=True)
    rows = [("began", f"{found.started_at:%Y-%m-%d %H:%M:%S}")]
    if found.ended_at is not None:
        took_s = max(0.0, (found.ended_at - found.started_at).total_seconds())
        rows.append(("ended", f"{found.ended_at:%Y-%m-%d %H:%M:%S}, after {words(took_s)}"))
    if found.message:
        rows.append(("why", first_line(found.message, "--json")))
    if found.resumed:
        rows.append(("resumed", f"{found.resumed} times" if found.resumed > 1 else "once"))
    rows += [("asked for", line) for line in _request_lines(found)]
    rows.append(("watcher", found.watcher_version))
    pairs(console, rows)


def _request_lines(found: Explanation) -> list[str]:
    """What a person asked for, one line a key; keys that say nothing are left out."""
    return [
        f"{key}: {shown(value, 200)}"
        for key, value in found.request.items()
        if value not in (None, {}, [])
    ]


def _show_step(console: Console, step: ExplainedStep) -> None:
    heading(console, f"Step {step.step}" + (f": {step.name}" if step.name else ""))
    # Without an attempt the decision below says it.
    if step.attempts:
        pairs(console, [("ran because", why) for why in step.why])
    for attempt in step.attempts:
        _show_attempt(console, attempt)
        for decision in step.decisions:
            if decision.attempt == attempt.attempt and decision.action != "skip":
                _show_decision(console, decision)
    numbers = {attempt.attempt for attempt in step.attempts}
    for decision in step.decisions:
        if decision.attempt not in numbers or decision.action == "skip":
            _show_decision(console, decision)


def _show_attempt(console: Console, attempt: ExplainedAttempt) -> None:
    outcome = attempt.outcome or "not ended"
    took = words(attempt.duration_s) if attempt.duration_s is not None else "?"
    console.print(
        Text.assemble(
            f"  attempt {attempt.attempt}: ",
            (outcome.replace("_", " "), SEVERITY_STYLE.get(attempt.severity or "", "")),
            f", {took} of at most {words(attempt.limit_s)}",
        )
    )
    rows = [("said", first_line(attempt.message, attempt.folder))] if attempt.message else []
    rows += [
        ("parameter", f"{p.name} = {shown(p.value, 200)} (from {p.origin})")
        for p in attempt.parameters
    ]
    rows += [("input", _input_line(file)) for file in attempt.inputs]
    rows += [("output", f"{file.path} ({file.sha256[:_SHA]})") for file in attempt.outputs]
    rows += [
        ("placed", ": ".join(filter(None, (_where(p.what, p.device), p.reason))))
        for p in attempt.placements
    ]
    pairs(console, rows, indent=4)


def _show_decision(console: Console, decision: Decided) -> None:
    console.print(
        Text.assemble(
            "  decided: ", (decision.action, _ACTION_STYLE.get(decision.action, "")),
            f", {_when(decision.at)}",
        )
    )  # fmt: skip
    rows = [("why", first_line(decision.reason, "--json"))]
    rows += [("found", fact) for fact in decision.found]
    rows += [("changed", decision.changed)] if decision.changed else []
    rows += [("budget", decision.budget)] if decision.budget else []
    rows += [("not used", rule) for rule in decision.passed_over]
    rows += [("since", f"run {decision.since}")] if decision.since else []
    pairs(console, rows, indent=4)


def _input_line(file: MadeFile) -> str:
    made = "not made by a run here"
    if file.run_id is not None:
        made = f"made by run {file.run_id}, step {file.step}, attempt {file.attempt}"
    return f"{file.name}: {file.path} ({file.sha256[:_SHA]}), {made}"


def _where(what: str, device: str) -> str:
    return f"{what} on {device}" if what and device else what or device


def _line(moment: Moment) -> str:
    said = first_line(moment.text, "--json")
    kind = moment.kind.replace("_", " ")
    return said if said.startswith(kind) else f"{kind}: {said}"


def _when(at: Any) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}"


def _plain(value: Any) -> Any:
    match value:
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case _ if hasattr(value, "isoformat"):
            return value.isoformat()
        case _:
            return value
