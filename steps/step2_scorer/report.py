"""Step 2's own page, for people: Markdown, what was tried and why the choice fell as it did."""

from __future__ import annotations

import math

from steps.forensics.documents import REPORTS_FOLDER, ScorerConfig
from steps.forensics.mixture import Belief
from steps.step2_scorer.choice import ALPHA, BLOCKS, Choice

REPORT_FILE = f"{REPORTS_FOLDER}/scorer.md"


def sentence_of(choice: Choice | None, default: Belief, *, tuned: bool) -> str:
    """Why the parameters are what they are."""
    kept = f"the defaults stay ({_words(default)})"
    if not tuned:
        return f"Nothing was tried, as was asked; {kept}."
    if choice is None:
        return f"No candidate has any weight in train, so that nothing can be tried; {kept}."
    gain = choice.log_loss_default - choice.log_loss_chosen
    if choice.belief != default:
        return (
            f"{_words(choice.belief)[0].upper()}{_words(choice.belief)[1:]}: better than the "
            f"defaults by {gain:.3g} nats a draw (p {choice.p_value:.2g}, corrected)."
        )
    if choice.p_value is None:
        return f"None of {len(choice.tried)} settings predicts better; {kept}."
    return f"What seems better is within noise (p {choice.p_value:.2g}, corrected); {kept}."


def scorer_report(config: ScorerConfig, choice: Choice | None, belief: Belief) -> str:
    """The page of one run."""
    lines = [
        "# Scorer",
        "",
        f"**{config.sentence}**",
        "",
        "| parameter | value | meaning |",
        "|---|--:|---|",
        f"| corruption | {config.corruption:g} | share of draws that something else has replaced |",
        f"| recency | {_recency(belief)} | draws after which evidence counts half as much |",
        f"| lane weight | {config.lane_weight:g} | share of right low bits alone; always 0 |",
    ]
    if choice is not None:
        lines += [
            "",
            f"{choice.draws} draws of train were predicted, each from the ones before it. Knowing "
            f"nothing costs log {belief.modulus} = {math.log(belief.modulus):.4f} nats a draw. "
            f"Another setting than the defaults is taken if it is better over {BLOCKS} blocks "
            f"with a corrected p of {ALPHA:g} or less.",
            "",
            "| corruption | recency | nats a draw |",
            "|--:|--:|--:|",
            *(
                f"| {tried.corruption:g} | {tried.recency_draws or 'none'} | {tried.log_loss:.4f} |"
                for tried in choice.tried
            ),
        ]
    return "\n".join(lines) + "\n"


def _words(belief: Belief) -> str:
    recency = _recency(belief)
    fading = "all draws alike" if recency == "none" else f"evidence halved every {recency} draws"
    return f"corruption {belief.corruption:g}, {fading}"


def _recency(belief: Belief) -> str:
    return "none" if belief.recency_draws is None else str(belief.recency_draws)
