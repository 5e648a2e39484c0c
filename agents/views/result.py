"""The end of a run on stdout: the finding first, then the families, the notes, the files."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.padding import Padding
from rich.panel import Panel
from rich.text import Text

from agents.attempt import Attempted
from agents.durations import words
from agents.run import RunReport, StepReport
from agents.views.family_scores import families_result
from agents.views.screen import bullets, first_line, mark, pairs
from agents.workspace import Workspace
from steps.contract import RESULT_FILE, StepResult

_SIGNAL_STYLE = {"strong": "green", "weak": "yellow", "none": "red", "leaked": "bold red"}
_OUTCOME_WORDS = {
    "complete": "done",
    "no_signal": "done, no signal",
    "halted": "stopped by a halt",
    "interrupted": "interrupted",
    "timeout": "timed out",
}


def show_run(console: Console, report: RunReport, workspace: Workspace) -> None:
    """Everything that a person wants after a run."""
    for step in report.steps:
        show_step(console, step, workspace)
        console.print()
    rows = [("run", f"{report.run_id}: {report.state}, exit code {int(report.exit_code)}")]
    if report.state != "complete":
        last = report.steps[-1].last if report.steps else None
        where = workspace.shown(last.folder / RESULT_FILE) if last else ""
        rows.append(("why", first_line(report.message, where)))
    pairs(console, rows, indent=0)


def show_step(console: Console, report: StepReport, workspace: Workspace) -> None:
    """One step: what it found, or what went wrong and where to read on."""
    last = report.last
    if last is None:
        _show_not_run(console, report)
        return
    if report.result is None or report.result.status == "failed":
        _show_failure(console, report, last, workspace)
    else:
        what = attempt_words(last.spec.folder_name, last.spec.step)
        took = words(last.ending.duration_s)
        title = f"{what}: {outcome_words(last.verdict.outcome)} in {took}"
        show_result(console, report.result, title, workspace.shown(last.folder / RESULT_FILE))
    notes: list[Text | str] = [mark("warning", issue.message) for issue in last.verdict.issues]
    if notes:
        bullets(console, notes)
    _show_files(console, last, report.result, workspace)


def _show_not_run(console: Console, report: StepReport) -> None:
    """A step that was skipped or not started; of a skipped one, what it said when it ran."""
    if report.decision.action != "skip":
        console.print(Text(report.decision.reason, style="bold yellow"))
        return
    if report.result is not None:
        show_result(console, report.result, f"step {report.step}: skipped, as it was", "")
    line = f"{report.decision.reason}; --force-step {report.step} runs it all the same"
    console.print(Text(line, style="cyan"))


def show_result(console: Console, result: StepResult, title: str, whole: str) -> None:
    """What a step says of itself, from its StepResult only. whole: the file that this came from."""
    console.print(_headline(result, title))
    if result.families:
        console.print()
        families_result(console, result, whole)
    if result.signal and result.signal.reasons:
        console.print(Text("\nWhy this verdict", style="bold"))
        bullets(console, list(result.signal.reasons))
    # Where work was placed is told by --explain; only what went wrong with it belongs here.
    notes = [(n, "") for n in result.notes if (n.code, n.level) != ("placement", "info")]
    notes += [(note, f"{name}: ") for name, f in result.families.items() for note in f.notes]
    if notes:
        console.print(Text("\nNotes", style="bold"))
        lines: list[Text | str] = [mark(n.level, f"{where}{n.message}") for n, where in notes]
        bullets(console, lines)
    if result.what_next:
        console.print(Text("\nNext", style="bold"))
        for line in result.what_next:
            console.print(Text(f"  {line}"), soft_wrap=True)


def attempt_words(folder_name: str, step: int) -> str:
    """What was attempted: "step 5", or an action such as "predict"."""
    return f"step {step}" if folder_name.startswith("step") else folder_name.partition("-")[0]


def outcome_words(outcome: str) -> str:
    """An outcome for people."""
    return _OUTCOME_WORDS.get(outcome, outcome)


def _headline(result: StepResult, title: str) -> Panel:
    text = Text()
    style = "green" if result.status == "complete" else "yellow"
    if result.signal:
        verdict = result.signal.verdict
        style = _SIGNAL_STYLE[verdict]
        text.append(f"Signal: {verdict}\n", style=f"bold {style}")
    text.append(result.headline, style="bold")
    return Panel(text, title=title, title_align="left", border_style=style, padding=(0, 1))


def _show_failure(
    console: Console, report: StepReport, last: Attempted, workspace: Workspace
) -> None:
    attempts = len(report.attempts)
    whole = workspace.shown(last.folder / RESULT_FILE)
    asked = last.verdict.outcome in {"bad_input", "usage", "blocked", "halted", "interrupted"}
    # What people must mend is told whole; a library's traceback fills the screen and helps nobody.
    said = last.verdict.message if asked else first_line(last.verdict.message, whole)
    text = Text(said, style="bold")
    for earlier in report.attempts[:-1]:
        kept = workspace.shown(earlier.folder / RESULT_FILE)
        text.append(f"\nattempt {earlier.spec.attempt}: ")
        text.append(first_line(earlier.verdict.message, kept))
    what = _OUTCOME_WORDS.get(last.verdict.outcome, "failed")
    tries = f" after {attempts} attempts" if attempts > 1 else ""
    where = attempt_words(last.spec.folder_name, last.spec.step)
    title = f"{where} ({last.spec.agent_name}): {what}{tries}"
    console.print(Panel(text, title=title, title_align="left", border_style="red", padding=(0, 1)))
    if report.result and report.result.families:
        families_result(console, report.result, whole)
    tail = [] if asked else log_tail(last.log_path)
    if tail:
        console.print(Text(f"The end of {workspace.shown(last.log_path)}", style="bold"))
        for line in tail:
            console.print(Padding(Text(line, style="dim"), (0, 0, 0, 2)))


def _show_files(
    console: Console, last: Attempted, result: StepResult | None, workspace: Workspace
) -> None:
    rows = [(byte_size(output.bytes), output.path) for output in (result.outputs if result else ())]
    console.print(Text(f"\nFiles in {workspace.root}", style="bold"), soft_wrap=True)
    rows.append(("log", workspace.shown(last.log_path)))
    pairs(console, rows)


def log_tail(path: Path, lines: int = 12) -> list[str]:
    """The last lines of a log, escape sequences made harmless; empty if there is none."""
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - 8192))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return []
    kept = [line.rstrip()[:300] for line in text.splitlines() if line.strip()][-lines:]
    return ["".join(c if c.isprintable() else " " for c in line) for line in kept]


def byte_size(size: int) -> str:
    """A file's size for people."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}"
    return f"{size} bytes"
