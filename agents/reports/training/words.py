"""Put training diagnostics into words: the verdict first, then what stands behind it. Pure."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from agents.durations import words
from agents.reports.training.lineage import Lineage
from agents.secrets import MASK
from steps.contract import Estimate, Scores
from steps.contract.diagnostics import (
    FamilyDiagnostics,
    PairComparison,
    TrainingDiagnostics,
    TrialRow,
)

Tone = Literal["strong", "weak", "none", "leaked", "failed"]
LEVEL_WORDS = {"critical": "critical", "warning": "warning", "info": "note"}
_RUN_STEP_5 = "watcher --run-pipeline --start-step 5 --end-step 5"


@dataclass(frozen=True, slots=True)
class VerdictWords:
    """The first thing that people read. title: one line; sentences: what stands behind it.

    command: what to type next, "" where nothing follows. remark: what the command leaves out.
    """

    tone: Tone
    title: str
    sentences: tuple[str, ...]
    command: str = ""
    remark: str = ""

    @property
    def has_winner(self) -> bool:
        """Whether it matters, in the first place, which family is ahead."""
        return self.tone in {"strong", "weak"}


def verdict_words(diagnostics: TrainingDiagnostics, lineage: Lineage) -> VerdictWords:
    """The verdict in plain words."""
    signal, target = diagnostics.signal, target_name(diagnostics)
    behind = tuple(signal.reasons) if signal is not None else ()
    match signal.verdict if signal is not None else None:
        case None:
            return VerdictWords(
                "failed", "No verdict: no family has a model", (diagnostics.headline,)
            )
        case "none":
            return VerdictWords("none", f"No signal: nothing here predicts {target}", behind)
        case "leaked":
            return _leaked(diagnostics, lineage, target, behind)
        case "strong":
            return _with_winner("strong", "Strong signal", diagnostics, behind)
        case _:
            return _with_winner("weak", "Weak signal", diagnostics, behind)


def target_name(diagnostics: TrainingDiagnostics) -> str:
    """What is predicted."""
    return diagnostics.table.target_name if diagnostics.table is not None else "the target"


def tie_or_better(diagnostics: TrainingDiagnostics) -> tuple[str, ...]:
    """A sentence for each family that the best one was compared with."""
    return tuple(_compared(pair) for pair in diagnostics.comparisons)


def p_text(p_value: float) -> str:
    """A p-value: p 0.21, p < 0.001."""
    return "p < 0.001" if p_value < 0.001 else f"p {p_value:.2g}"


def estimate_text(estimate: Estimate, sign: str = "", least: int = 2) -> str:
    """0.84 (0.83 to 0.85); as many digits as the interval supports, `least` to four.

    sign: "+" shows the sign of a difference.
    """
    low_high = estimate.ci95
    digits = max(3, least)
    if low_high is not None:
        half = abs(low_high[1] - low_high[0]) / 2
        # One without width supports no more digits than none at all.
        digits = min(4, max(least, math.ceil(-math.log10(half)))) if half > 0 else digits

    def text(value: float) -> str:
        return "under -10" if value < -10 else f"{value:{sign}z.{digits}f}"

    if low_high is None:
        return text(estimate.value)
    return f"{text(estimate.value)} ({text(low_high[0])} to {text(low_high[1])})"


def ordered(diagnostics: TrainingDiagnostics) -> list[tuple[str, FamilyDiagnostics]]:
    """The families: the winner first, then by cross-validated R2, then those without a score."""

    def rank(item: tuple[str, FamilyDiagnostics]) -> tuple[bool, float, str]:
        name, family = item
        score = -family.cv.r2.value if family.cv is not None else math.inf
        return (name != diagnostics.winner, score, name)

    return sorted(diagnostics.families.items(), key=rank)


def health_words(family: FamilyDiagnostics, *, collected: bool) -> str:
    """One sentence on a family's health; what was not observed is never called healthy."""
    if family.status != "complete":
        return f"{family.status}: {family.error}" if family.error else family.status
    counts = {level: sum(f.level == level for f in family.findings) for level in LEVEL_WORDS}
    said = [
        f"{count} {LEVEL_WORDS[level]}{'s' if count > 1 and level != 'critical' else ''}"
        for level, count in counts.items()
        if count
    ]
    if not collected:
        said.append("health not known: diagnostics are switched off")
    elif family.absent:
        what = "observation is" if len(family.absent) == 1 else "observations are"
        said.append(f"{len(family.absent)} {what} absent")
    return ", ".join(said) if said else "no findings: every metric is inside the policy's bounds"


def time_words(family: FamilyDiagnostics) -> str:
    """All of a family's wall time, e.g. "2 min 5 s"; "" where it is not known."""
    return words(sum(family.seconds.values())) if family.seconds else ""


def memory_words(family: FamilyDiagnostics) -> str:
    """Peak memory, e.g. "812 MiB, GPU 1.2 GiB"; "" where it is not known."""
    said = [_mib(family.peak_rss_mib)] if family.peak_rss_mib is not None else []
    said += [f"GPU {_mib(family.peak_vram_mib)}"] if family.peak_vram_mib is not None else []
    return ", ".join(said)


def trial_counts(family: FamilyDiagnostics) -> str:
    """40, of which 3 pruned, 1 failed."""
    counts = trials_by_state(family)
    total = sum(counts.values())
    if not total:
        return ""
    rest = ", ".join(f"{counts[end]} {end}" for end in ("pruned", "failed") if counts[end])
    return f"{total} ({rest})" if rest else str(total)


def shared_score(trial: TrialRow) -> float | None:
    """What compares a trial with all others: its mean R2 over the folds that all were fitted on.

    Diagnostics of earlier versions know of whole trials only.
    """
    return trial.ranked if trial.ranked is not None else trial.score


def trials_by_state(family: FamilyDiagnostics) -> dict[str, int]:
    """How many trials were complete, pruned and failed: all, also those that are not shown."""
    counts = {
        "complete": family.trials_complete,
        "pruned": family.trials_pruned,
        "failed": family.trials_failed,
    }
    if any(counts.values()):
        return counts
    # A file of before they were counted.
    return {state: sum(trial.state == state for trial in family.trials) for state in counts}


def scores_of(family: FamilyDiagnostics) -> Scores | None:
    """The scores that count: on the holdout, else of cross-validation."""
    return family.holdout or family.cv


def listed(names: Sequence[str], most: int = 5) -> str:
    """a, b and c; beyond `most` names only how many more there are."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def _with_winner(
    tone: Tone, what: str, diagnostics: TrainingDiagnostics, behind: tuple[str, ...]
) -> VerdictWords:
    name = diagnostics.winner
    family = diagnostics.families.get(name) if name is not None else None
    if name is None or family is None:
        return VerdictWords(tone, f"{what} in {target_name(diagnostics)}", behind)
    if family.holdout is not None:
        score = f"R2 {estimate_text(family.holdout.r2)} on rows it never saw"
    elif family.cv is not None:
        score = f"R2 {estimate_text(family.cv.r2)} in cross-validation"
    else:
        score = "its scores are not known"
    is_tied = any(pair.verdict == "tie" for pair in diagnostics.comparisons)
    verb = "is ahead" if is_tied else "wins"
    if len(diagnostics.families) == 1:
        verb = "learns it"
    return VerdictWords(tone, f"{what}: {name} {verb}, {score}", behind)


def _leaked(
    diagnostics: TrainingDiagnostics, lineage: Lineage, target: str, behind: tuple[str, ...]
) -> VerdictWords:
    signal = diagnostics.signal
    names = signal.leaked_features if signal is not None else ()
    excluded = (signal.exclude_features or names) if signal is not None else ()
    if not names:
        title = f"Leaked: something gives {target} away"
        return VerdictWords("leaked", title, (*behind, "Find the feature that knows the target."))
    what, verb = ("feature", "gives") if len(names) == 1 else ("features", "give")
    title = f"Leaked: {what} {listed(names)} {verb} {target} away"
    run = diagnostics.run
    params = dict(lineage.given)
    if diagnostics.table is not None:
        params |= {"survivors": diagnostics.table.path, "target": target}
    before = run.params.get("exclude_features") if run is not None else None
    already = list(before) if isinstance(before, list | tuple) else []
    params["exclude_features"] = list(dict.fromkeys([*already, *excluded]))
    hidden = sorted(name for name, value in params.items() if MASK in json.dumps(value))
    said = {name: value for name, value in params.items() if name not in hidden}
    remark = f"Secret, so to be added by hand: {', '.join(hidden)}." if hidden else ""
    if lineage.absent:
        remark = f"{remark} Other parameters of this run are not in it.".strip()
    return VerdictWords("leaked", title, behind, _command(said), remark)


def _command(params: Mapping[str, Any]) -> str:
    text = json.dumps(params, ensure_ascii=False)
    return f"{_RUN_STEP_5} --params {shlex.quote(text)}"


def _compared(pair: PairComparison) -> str:
    apart = (
        f"R2 {estimate_text(pair.cv_r2, '+', 3)} in cross-validation, "
        f"{estimate_text(pair.holdout_r2, '+', 3)} on the holdout, {p_text(pair.p_value)}"
    )
    if pair.verdict == "tie":
        return f"{pair.best} and {pair.other} are tied, the difference may be chance: {apart}."
    return f"{pair.best} is better than {pair.other}: {apart}."


def _mib(mib: float) -> str:
    return f"{mib / 1024:.1f} GiB" if mib >= 1024 else f"{mib:.0f} MiB"
