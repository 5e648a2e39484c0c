"""The sentences in which a run's result is told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from gpu.params import Family
from steps.contract import Awaiting, FamilyResult, Note, Signal, StepError
from steps.step5_training.comparison import SWITCHED_OFF, TIME_IS_UP
from steps.step5_training.judged import Judged
from steps.step5_training.leaks.finding import exclude_text
from steps.step5_training.study import FamilyStudy


def result_status(judged: Judged) -> Literal["complete", "failed", "no_signal"]:
    """What the step ended as."""
    if judged.signal is None:
        return "failed"
    return "no_signal" if judged.signal.verdict == "none" else "complete"


def result_error(judged: Judged, families: Mapping[Family, FamilyResult]) -> StepError | None:
    """Why the step failed: no family has a model; None when one has."""
    if judged.signal is not None:
        return None
    tried = [result for result in families.values() if result.status != "skipped"]
    if tried and all(result.error == TIME_IS_UP for result in tried):
        message = "time_budget_minutes is too short: no family finished a trial and its final fit"
        return StepError(kind="usage", message=message)
    if all(result.status == "skipped" for result in families.values()):
        return StepError(kind="blocked", message=_nobody_may_train(families))
    reasons = "; ".join(f"{name}: {result.error}" for name, result in families.items())
    of_memory = all(any(n.code == "out_of_memory" for n in result.notes) for result in tried)
    return StepError(
        kind="out_of_memory" if of_memory else "internal",
        message=f"no family has a model: {reasons}",
    )


def _nobody_may_train(families: Mapping[Family, FamilyResult]) -> str:
    if all(result.error == SWITCHED_OFF for result in families.values()):
        return "every family is switched off by policy"
    each = "; ".join(f"{name} is {result.error}" for name, result in families.items())
    return f"no family that was asked for may train: {each}"


def headline(
    judged: Judged,
    families: Mapping[Family, FamilyResult],
    target: str,
    *,
    withheld: bool,
    awaiting: Awaiting | None,
) -> str:
    """The one sentence that a person reads first."""
    signal, best = judged.signal, judged.best
    if signal is None or best is None:
        error = result_error(judged, families)
        return f"Step 5 failed: {error.message if error else 'no family has a model'}"
    waits = "" if awaiting is None else f" It waits for an approval: {awaiting.reason}."
    match signal.verdict:
        case "none":
            return (
                f"No signal: nothing here predicts {target} reliably better than its mean. "
                f"{signal.reasons[0]}.{waits}"
            )
        case "leaked":
            fate = "The winner is not published." if withheld else "Published by consent of policy."
            return f"Leaked: {signal.reasons[0]}.{waits or ' ' + fate}"
        case _:
            result = families[best]
            assert result.cv is not None  # noqa: S101  # the winner has scores
            assert result.holdout is not None  # noqa: S101
            return (
                f"{best} predicts {target}: R2 {result.cv.r2.value:.3f} in cross-validation, "
                f"{result.holdout.r2.value:.3f} on the holdout.{waits}"
            )


def placement_notes(said: Iterable[str]) -> list[Note]:
    """Why the work lay where it did."""
    return [Note(level="info", code="placement", message=message) for message in said]


def pruning_note(families: Mapping[Family, FamilyResult]) -> list[Note]:
    """What pruning left out; empty where it left out nothing."""
    skipped = {
        name: result.folds_pruned for name, result in families.items() if result.folds_pruned
    }
    if not skipped:
        return []
    total = sum(skipped.values())
    fitted = sum(result.folds_fitted for result in families.values())
    each = ", ".join(f"{name} {count}" for name, count in skipped.items())
    message = (
        f"pruning skipped {total} of {total + fitted} fold fits, of trials that were behind on "
        f"their first folds ({each}); pruning false fits them all"
    )
    return [Note(level="info", code="pruning", message=message)]


def resolution_note(studies: Iterable[FamilyStudy]) -> list[Note]:
    """What the best trial of each family scored with coarse bins and with full ones."""
    said = []
    for study in studies:
        coarse, full = study.searched_best, study.tried_full
        if coarse is not None and full is not None:
            kept = "full" if study.best is full else "coarse"
            folds = len(full.scores)
            scores = f"R2 {coarse.mean_of(folds):.4f} coarse, {full.mean_r2:.4f} full"
            part = f" on the first {folds} folds" if folds < study.n_folds else ""
            said.append(f"{study.family} {scores}{part}: {kept} kept")
    if not said:
        return []
    message = (
        f"the tree families' best trials were run once more with full bins ({'; '.join(said)}); "
        "coarse_bins false searches with full bins throughout"
    )
    return [Note(level="info", code="resolution", message=message)]


def what_next(
    judged: Judged,
    before: Path | None,
    run_id: str,
    *,
    withheld: bool,
    awaiting: Awaiting | None,
) -> tuple[str, ...]:
    """What to type next."""
    if judged.signal is None:
        return ()
    lines = _first_next(judged.signal, before, run_id, withheld, awaiting)
    return (*lines, "watcher --report --open")


def _first_next(
    signal: Signal,
    before: Path | None,
    run_id: str,
    withheld: bool,
    awaiting: Awaiting | None,
) -> tuple[str, ...]:
    if awaiting is not None:
        return (
            f"watcher --approve {run_id} puts the new models in force, --reject {run_id} does not",
            f"until then the old ones stay; the new ones are in {awaiting.version}",
        )
    match signal.verdict:
        case "none":
            lines = ["look for other features, or more rows; predictions are refused meanwhile"]
            if before is not None:
                lines.append(f"the models that were in force until now are kept in {before}")
            return tuple(lines)
        case "leaked" if signal.exclude_features:
            lines = [f"rerun without them: add {exclude_text(signal.exclude_features)} to --params"]
            if withheld:
                lines.append("or set publish.leaked to true in watcher_policies.json")
            return tuple(lines)
        case "leaked":
            return ("find the feature that knows the target, and exclude it",)
        case _:
            return ("watcher --predict NEW_ROWS.csv --output predictions.csv",)
