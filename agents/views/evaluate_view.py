"""Print what --evaluate found: the verdict, what would follow, and what ails each family."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from agents.reports.evaluate import Evaluation
from agents.secrets import mask, mask_text
from agents.views.screen import SEVERITY_STYLE, bullets, first_line, heading, mark, pairs

_FOLLOWS = {
    "next": "the run would go on",
    "retry": "the step would be run again",
    "stop": "the run would stop",
    "skip": "the step would be skipped",
}


def show_evaluation(console: Console, found: Evaluation) -> None:
    """The whole of --evaluate."""
    result, verdict, decision = found.result, found.verdict, found.decision
    whole = str(found.file)
    of = f"step {result.step}, attempt {result.attempt}, " if found.kind == "result" else ""
    console.print(Text(f"{found.kind} of {of}run {result.run_id}", style="bold"), soft_wrap=True)
    head = Text.assemble(
        ("verdict: ", "bold"),
        (verdict.outcome.replace("_", " "), f"bold {SEVERITY_STYLE[verdict.severity]}"),
        f" ({verdict.severity})",
    )
    console.print(head)
    console.print(Text(mask_text(first_line(verdict.message, whole))))
    console.print()
    heading(console, "What would follow under the policy in force")
    rows = [
        ("decision", f"{decision.action}: {_FOLLOWS[decision.action]}"),
        ("why", mask_text(first_line(decision.reason, whole))),
        ("exit code", str(int(found.exit_code))),
    ]
    rows += [("change", f"{k} = {v}") for k, v in mask(decision.changes).items()]
    rows += [("not used", mask_text(rule)) for rule in decision.passed_over]
    pairs(console, rows)
    if result.signal is not None:
        console.print()
        heading(console, f"Signal: {result.signal.verdict}")
        bullets(console, [mask_text(reason) for reason in result.signal.reasons])
    for name, family in result.families.items():
        console.print()
        won = ", the winner" if name == result.winner else ""
        heading(console, f"{name}: {family.status}, {family.severity}{won}")
        found_here = [mark(note.level, mask_text(note.message)) for note in family.notes]
        error = [mask_text(first_line(family.error, whole))] if family.error else []
        bullets(console, [*error, *found_here] or ["nothing was found"])
    if result.notes:
        console.print()
        heading(console, "Notes")
        bullets(console, [mark(note.level, mask_text(note.message)) for note in result.notes])
    console.print()
    heading(console, "Taken for granted")
    bullets(console, list(found.assumed))


def evaluation_document(found: Evaluation) -> dict[str, Any]:
    """What --evaluate found, for programs."""
    result, verdict, decision = found.result, found.verdict, found.decision
    document: dict[str, Any] = {
        "status": verdict.outcome,
        "exit_code": int(found.exit_code),
        "file": str(found.file),
        "kind": found.kind,
        "run_id": result.run_id,
        "step": result.step,
        "attempt": result.attempt if found.kind == "result" else None,
        "verdict": {
            "outcome": verdict.outcome,
            "severity": verdict.severity,
            "message": verdict.message,
            "issues": [{"code": i.code, "message": i.message} for i in verdict.issues],
            "findings": list(verdict.findings),
        },
        "decision": {
            "action": decision.action,
            "reason": decision.reason,
            "changes": decision.changes,
            "wait_s": decision.wait_s,
            "passed_over": list(decision.passed_over),
        },
        "winner": result.winner,
        "signal": result.signal.model_dump(mode="json") if result.signal else None,
        "families": {
            name: {
                "status": family.status,
                "severity": family.severity,
                "error": family.error,
                "findings": [note.model_dump(mode="json") for note in family.notes],
            }
            for name, family in result.families.items()
        },
        "notes": [note.model_dump(mode="json") for note in result.notes],
        "assumed": list(found.assumed),
    }
    masked: dict[str, Any] = mask(document)
    return masked
