"""Judge one attempt: how its process ended and what it said of itself -> Verdict. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from agents.durations import words
from steps.contract import FamilyResult, Note, StepResult

AskedTo = Literal["halt", "interrupt"]
Severity = Literal["ok", "warning", "critical"]
Outcome = Literal[
    "complete",
    "no_signal",
    "unhealthy",
    "halted",
    "interrupted",
    "bad_input",
    "usage",
    "blocked",
    "out_of_memory",
    "internal",
    "crash",
    "timeout",
    "bad_result",
]

_AS_IT_SHOULD = {"complete", "no_signal"}
_LINE = 300  # characters of a sentence for people


@dataclass(frozen=True, slots=True)
class Ending:
    """How a step process came to its end.

    exit_code: None if a signal ended it. signal: its name, such as SIGSEGV. timed_out: it was told
    to stop because limit_s had passed. asked_to: what it was asked before it ended. killed: the
    watcher killed its tree. duration_s, limit_s: seconds. log_cut_bytes: bytes of its output that
    the log does not hold. stragglers: descendants that outlived it and were killed.
    """

    exit_code: int | None
    signal: str | None
    duration_s: float
    limit_s: float
    timed_out: bool = False
    asked_to: AskedTo | None = None
    killed: bool = False
    log_cut_bytes: int = 0
    stragglers: int = 0


@dataclass(frozen=True, slots=True)
class Issue:
    """One thing that was found. code: a stable word; message: a sentence."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an attempt came to. message: one sentence for people.

    outcome "unhealthy": the step is complete, but its winner is in a critical state. findings: what
    remedies are matched with: the outcome, then the codes of critical notes; of an attempt that
    came to its end as it should, only the latter.
    """

    outcome: Outcome
    severity: Severity
    message: str
    issues: tuple[Issue, ...] = field(default=())
    findings: tuple[str, ...] = field(default=())


def judge(
    step: int,
    ending: Ending,
    result: StepResult | None,
    result_problem: str | None = None,
    output_problems: Sequence[str] = (),
) -> Verdict:
    """Judge an attempt.

    result: what the step wrote, already known to be of this attempt; None with result_problem
    saying why a file that was there is not taken. output_problems: files named in the result that
    are missing, changed, or outside the workspace.
    """
    verdict = _without_findings(step, ending, result, result_problem, output_problems)
    outcome = () if verdict.outcome in _AS_IT_SHOULD else (verdict.outcome,)
    codes = (note.code for note in _critical_notes(result))
    return replace(verdict, findings=tuple(dict.fromkeys((*outcome, *codes))))


def _without_findings(
    step: int,
    ending: Ending,
    result: StepResult | None,
    result_problem: str | None,
    output_problems: Sequence[str],
) -> Verdict:
    how = _how_it_ended(ending)
    issues = _side_issues(ending, result)
    if result is not None and result.status in _AS_IT_SHOULD:
        if output_problems:
            problems = tuple(Issue("bad_output", problem) for problem in output_problems)
            message = f"step {step} says it is complete, but {output_problems[0]}"
            return Verdict("bad_result", "critical", message, problems + issues)
        issues += _critical_families(result)
        outcome: Outcome = "complete" if result.status == "complete" else "no_signal"
        winner = _winner(result)
        if outcome == "complete" and winner is not None and winner.severity == "critical":
            found = tuple(Issue(note.code, note.message) for note in _critical_notes(result))
            message = f"step {step} is complete, but its winner {result.winner} is not healthy"
            return Verdict("unhealthy", "critical", f"{message}: {_ails(winner)}", found + issues)
        severity: Severity = "warning" if issues or outcome == "no_signal" else "ok"
        return Verdict(outcome, severity, result.headline, issues)
    # Asked before its time was up: what people wanted counts, and costs no retry.
    asked_first = ending.asked_to is not None
    if ending.timed_out and not asked_first:
        message = f"step {step} did not finish within its limit of {words(ending.limit_s)}"
        return Verdict("timeout", "critical", message, issues)
    if ending.killed and ending.asked_to is not None:
        outcome = "halted" if ending.asked_to == "halt" else "interrupted"
        message = f"step {step} was killed: it had not stopped when asked"
        return Verdict(outcome, "warning", message, issues)
    if result is not None and result.status == "failed":
        kind = result.error.kind if result.error else "internal"
        message = result.error.message if result.error else result.headline
        return Verdict(kind, "critical", message, issues)
    if ending.asked_to is not None:
        outcome = "halted" if ending.asked_to == "halt" else "interrupted"
        said = result.headline if result else f"step {step} stopped when asked ({how}), no result"
        return Verdict(outcome, "warning", said, issues)
    if result is not None:  # it says "halted" although nobody here asked it to: a signal by hand
        return Verdict("halted", "warning", result.headline, issues)
    if result_problem is not None:
        message = f"step {step} {how}; its result is not taken: {result_problem}"
        return Verdict("bad_result", "critical", message, issues)
    if ending.signal is not None:
        return Verdict("crash", "critical", f"step {step} {how}{_why(ending.signal)}", issues)
    if ending.exit_code == 2:
        return Verdict("usage", "critical", f"step {step} could not read its request", issues)
    return Verdict("internal", "critical", f"step {step} {how} and wrote no result", issues)


def _how_it_ended(ending: Ending) -> str:
    if ending.signal is not None:
        return f"was ended by {ending.signal}"
    return f"ended with exit code {ending.exit_code}"


def _why(signal: str) -> str:
    match signal:
        case "SIGKILL":
            return " from outside; on Linux the usual reason is that memory ran out"
        case "SIGSEGV" | "SIGBUS" | "SIGILL" | "SIGABRT" | "SIGFPE":
            return ", a crash inside a library; the end of its log may name it"
        case _:
            return " from outside"


def _side_issues(ending: Ending, result: StepResult | None) -> tuple[Issue, ...]:
    issues = []
    finished = result is not None and result.status in _AS_IT_SHOULD
    if finished and ending.timed_out:
        message = f"it had finished but did not exit within {words(ending.limit_s)}; it was killed"
        issues.append(Issue("late_exit", message))
    elif finished and ending.exit_code != 0:
        issues.append(Issue("bad_exit", f"it had finished, but {_how_it_ended(ending)}"))
    if ending.stragglers:
        message = f"{ending.stragglers} of its processes outlived it and were killed"
        issues.append(Issue("stragglers", message))
    if ending.log_cut_bytes:
        message = f"its log is cut: {ending.log_cut_bytes} bytes of output were left out"
        issues.append(Issue("log_cut", message))
    return tuple(issues)


def _winner(result: StepResult) -> FamilyResult | None:
    """The winning family's result; None where there is no winner, or nothing is said of it."""
    if result.winner is None or result.winner not in result.families:
        return None
    return result.families[result.winner]


def _critical_notes(result: StepResult | None) -> list[Note]:
    """The winner's critical notes (every family's, where none won), then the result's own."""
    if result is None:
        return []
    winner = _winner(result)
    families = [winner] if winner is not None else list(result.families.values())
    notes = [note for family in families for note in family.notes] + list(result.notes)
    return [note for note in notes if note.level == "critical"]


def _critical_families(result: StepResult) -> tuple[Issue, ...]:
    """An issue for each critical family whose model nobody will use."""
    return tuple(
        Issue("family_critical", f"{name}, which did not win, is not healthy: {_ails(family)}")
        for name, family in result.families.items()
        if family.severity == "critical" and name != result.winner
    )


def _ails(family: FamilyResult) -> str:
    """What is wrong with a critical family, in one line."""
    said = [note.message for note in family.notes if note.level == "critical"]
    text = "; ".join([family.error] if family.error else said) or "it does not say why"
    line = text.partition("\n")[0]
    return line if len(line) <= _LINE else line[: _LINE - 3] + "..."
