"""Step 0's own page, for people: Markdown, a table of regimes and a table of tests."""

from __future__ import annotations

from steps.forensics.documents import REPORTS_FOLDER, Regimes
from steps.forensics.history import DrawHistory
from steps.forensics.wording import p_text
from steps.step0_regimes.finding import draw_and_date
from steps.step0_regimes.settings import RegimeSettings

REPORT_FILE = f"{REPORTS_FOLDER}/regimes.md"


def regimes_report(regimes: Regimes, history: DrawHistory, settings: RegimeSettings) -> str:
    """The page of one run."""
    facts = regimes.history
    read = facts.draws - facts.unread
    lines = [
        "# Regimes",
        "",
        f"**{regimes.headline}**",
        "",
        f"{read} of {facts.draws} draws could be read, values {facts.low} to "
        f"{facts.low + facts.modulus - 1}. Draws are numbered from 0, oldest first.",
        "",
        "| regime | first draw | last draw | draws |",
        "|--:|---|---|--:|",
    ]
    for number, segment in enumerate(regimes.segments, start=1):
        first = draw_and_date(history, segment.first)
        last = draw_and_date(history, segment.stop - 1)
        lines.append(f"| {number} | {first} | {last} | {segment.stop - segment.first} |")
    lines += [
        "",
        "## Tests",
        "",
        f"Beyond chance is a corrected p of {settings.regime_alpha:g} or less (Holm's correction "
        f"for all {len(regimes.tests)} tests).",
        "",
        "| test | p | corrected p | what was seen |",
        "|---|--:|--:|---|",
        *(
            f"| {test.name} | {p_text(test.p_value)} | {p_text(test.p_corrected)} "
            f"| {test.sentence} |"
            for test in regimes.tests
        ),
        "",
        "A generator of good quality is uniform, and one that takes another's place, or is seeded "
        "anew, changes none of these counts: that the machine did not change is not shown here. "
        "Step 1 looks for generators.",
    ]
    if facts.notes:
        lines += ["", "## Notes", "", *(f"- {note.message}" for note in facts.notes)]
    return "\n".join(lines) + "\n"
