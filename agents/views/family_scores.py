"""The families' scores side by side; whatever the width of the screen, no number is ever cropped.

What does not fit goes in this order: intervals move under their values, then `trained` is left
out, then `MAE`, then the intervals move below the table. Where not even that fits, each family has
lines of its own, which the terminal wraps.
"""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from agents.views.screen import SEVERITY_STYLE, bullets, first_line, plain_table
from steps.contract import Estimate, FamilyResult, StepResult

_UNBOUNDED = 10_000  # columns; wider than any table here
_LOWEST_R2 = -10.0  # below it the size of a failure says nothing more


@dataclass(frozen=True, slots=True)
class _Layout:
    """How much of the scores is shown. joint: between a value and its interval; None: apart."""

    joint: str | None
    mae: bool = True
    trained: bool = True


_LAYOUTS = (
    _Layout(" "),
    _Layout("\n"),
    _Layout("\n", trained=False),
    _Layout("\n", trained=False, mae=False),
    _Layout(None, trained=False, mae=False),
)


def families_result(console: Console, result: StepResult, whole: str) -> None:
    """One row a family, a legend, and why families failed. whole: where errors are kept whole."""
    layout = _show_scores(console, result)
    legend = "[low, high]: 95 % interval. "
    legend += "RMSE, MAE: on the holdout." if layout.mae else "RMSE: on the holdout."
    if layout.trained:
        legend += " trained: sum over its trials."
    if result.winner:
        legend = f"* winner, chosen by CV R2. {legend}"
    console.print(Text(f"  {legend}", style="dim"))
    failures: list[Text | str] = [
        Text.assemble((name, "bold"), f" {family.status}: {first_line(family.error, whole)}")
        for name, family in result.families.items()
        if family.error
    ]
    if failures:
        console.print()
        bullets(console, failures)


def r2_text(value: float, digits: int = 4) -> str:
    """R2 with so many digits after the point; "< -10" where it is lower than that."""
    return f"< {_LOWEST_R2:.0f}" if value < _LOWEST_R2 else f"{value:.{digits}f}"


def error_text(value: float) -> str:
    """RMSE or MAE: four significant digits, whole numbers from 1,000, exponents at the ends."""
    size = abs(value)
    if size == 0:
        return "0"
    if not 1e-3 <= size < 1e6:
        return f"{value:.3g}"
    return f"{value:,.0f}" if size >= 1000 else f"{value:,.4g}"


def _show_scores(console: Console, result: StepResult) -> _Layout:
    for layout in _LAYOUTS:
        table = _table(result, layout)
        room = console.options.update(max_width=_UNBOUNDED)
        if Measurement.get(console, room, table).maximum <= console.width:
            console.print(table)
            if layout.joint is None:
                _show_intervals(console, result)
            return layout
    for name, family in result.families.items():
        console.print(_label(result, name, family))
        for line in _lines(family):
            console.print(Text(f"    {line}"), soft_wrap=True)
    return _Layout(" ", trained=False)


def _table(result: StepResult, layout: _Layout) -> Table:
    headers = ["family", "CV R2", "holdout R2", "RMSE"]
    headers += ["MAE"] if layout.mae else []
    headers += ["trials"]
    headers += ["trained"] if layout.trained else []
    table = plain_table(*headers, right=("RMSE", "MAE", "trained"))
    table.padding = (0, 1, 0, 0)
    for column in table.columns:
        column.no_wrap = True  # a number broken in two is hard to read
    for name, family in result.families.items():
        errors = family.holdout or family.cv
        cells = [
            _r2(family.cv.r2 if family.cv else None, layout.joint),
            _r2(family.holdout.r2 if family.holdout else None, layout.joint),
            error_text(errors.rmse.value) if errors else "-",
        ]
        cells += [error_text(errors.mae.value) if errors else "-"] if layout.mae else []
        if family.status != "complete":
            cells = ["-"] * len(cells)
        cells.append(_trials(family, "\n"))
        cells += [_time(family)] if layout.trained else []
        table.add_row(_label(result, name, family), *cells)
    return table


def _show_intervals(console: Console, result: StepResult) -> None:
    for name, family in result.families.items():
        for what, scores in (("CV", family.cv), ("holdout", family.holdout)):
            if family.status == "complete" and scores is not None and scores.r2.ci95 is not None:
                line = f"  {name}: {what} R2 {_interval(scores.r2.ci95)}"
                console.print(Text(line), soft_wrap=True)


def _lines(family: FamilyResult) -> list[str]:
    lines = []
    errors = family.holdout or family.cv
    if family.status == "complete" and errors is not None:
        lines += [f"CV R2 {_r2(family.cv.r2, ' ')}"] if family.cv else []
        lines += [f"holdout R2 {_r2(family.holdout.r2, ' ')}"] if family.holdout else []
        lines += [f"RMSE {error_text(errors.rmse.value)}", f"MAE {error_text(errors.mae.value)}"]
    return [*lines, f"trials {_trials(family, ', ')}"]


def _label(result: StepResult, name: str, family: FamilyResult) -> Text:
    winner = name == result.winner
    label = Text(("* " if winner else "  ") + name, style="bold" if winner else "")
    if family.severity != "ok" and family.status == "complete":
        label.append(f"\n  {family.severity}", style=SEVERITY_STYLE[family.severity])
    if family.status != "complete":
        label.append(f"\n  {family.status}", style="red" if family.status == "failed" else "")
    return label


def _r2(estimate: Estimate | None, joint: str | None) -> str:
    if estimate is None:
        return "-"
    value = r2_text(estimate.value)
    if estimate.ci95 is None or joint is None:
        return value
    return f"{value}{joint}{_interval(estimate.ci95)}"


def _interval(ci95: tuple[float, float]) -> str:
    low, high = ci95
    return f"[{r2_text(low, 3)}, {r2_text(high, 3)}]"


def _trials(family: FamilyResult, joint: str) -> str:
    parts = [str(family.trials_complete + family.trials_pruned + family.trials_failed)]
    if family.trials_pruned:
        parts.append(f"{family.trials_pruned} pruned")
    if family.trials_failed:
        parts.append(f"{family.trials_failed} failed")
    return joint.join(parts)


def _time(family: FamilyResult) -> str:
    minutes, seconds = divmod(round(family.training_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
