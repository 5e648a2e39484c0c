"""Step 6's own page, for people: Markdown, the verdict first and the tests behind it."""

from __future__ import annotations

from steps.forensics.documents import REPORTS_FOLDER, Prediction
from steps.forensics.history import ALL
from steps.forensics.power_table import power_table
from steps.forensics.wording import p_text
from steps.step6_prediction.replay import POOLS
from steps.step6_prediction.wording import hypotheses_text

REPORT_FILE = f"{REPORTS_FOLDER}/prediction.md"
_SHOWN = 10


def prediction_report(prediction: Prediction) -> str:
    """The page of one run."""
    lines = ["# Prediction", "", f"**{prediction.headline}**", ""]
    lines += [f"- {sentence}" for sentence in prediction.explanation]
    of = "" if prediction.stream in (None, ALL) else f" of {prediction.stream}"
    if prediction.next_draws:
        lines += ["", f"## The next draws{of}", "", _listed(prediction.next_draws)]
    for other in prediction.other_streams:
        lines += ["", f"## The next draws of {other.stream}", "", _listed(other.next_draws)]
    if prediction.candidates:
        lines += [
            "",
            f"## Pools{of}",
            "",
            "| value | probability |",
            "|--:|--:|",
            *(
                f"| {candidate.draw} | {candidate.probability:.4g} |"
                for candidate in prediction.candidates[:_SHOWN]
            ),
            "",
            *(
                f"- {name}, {len(prediction.pools[name])} values: "
                f"{_mass(prediction, len(prediction.pools[name])):.3g} probability in all"
                for name in POOLS
            ),
            "",
            "Values of equal probability stand in random order.",
        ]
    if prediction.tests:
        lines += [
            "",
            "## Replay of the draws held back",
            "",
            "Each draw was predicted from what was known before it.",
            "",
            "| test | p | corrected p | what was seen |",
            "|---|--:|--:|---|",
            *(
                f"| {test.name} | {p_text(test.p_value)} | {p_text(test.p_corrected)} "
                f"| {test.sentence} |"
                for test in prediction.tests
            ),
        ]
    if prediction.log_loss is not None and prediction.log_loss_uniform is not None:
        lines += [
            "",
            f"Log-loss {prediction.log_loss:.4f} nats a draw; uniform guessing has "
            f"{prediction.log_loss_uniform:.4f}.",
        ]
    if prediction.power and prediction.source is None:
        lines += [
            "",
            "## What would have been caught",
            "",
            "By the searches as planned; what is said above counts those that were made.",
            "",
            *power_table(prediction.power),
        ]
    tried = hypotheses_text(prediction.hypotheses_tried, prediction.log10_hypotheses)
    lines += ["", f"Hypotheses tried: {tried}."]
    return "\n".join(lines) + "\n"


def _listed(draws: tuple[int, ...]) -> str:
    return ", ".join(str(draw) for draw in draws)


def _mass(prediction: Prediction, size: int) -> float:
    return sum(candidate.probability for candidate in prediction.candidates[:size])
