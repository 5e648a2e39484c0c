"""Are the draws uniform and independent, as those of a fair machine? What Step 0 says of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from steps.forensics.documents import (
    REGIMES_FILE,
    REPORTS_FOLDER,
    HistoryFacts,
    HypothesisTest,
    Regimes,
    read_document,
)
from steps.forensics.wording import p_text

# Step 0's own page.
REGIMES_REPORT = f"{REPORTS_FOLDER}/regimes.md"

_SHOWN = 6
# Step 0 marks what deserves a look; a verdict of this page is to be wrong more seldom.
_VERDICT_ALPHA = 0.001


@dataclass(frozen=True, slots=True)
class Fairness:
    """made: how many tests Step 0 has made. rejected: those beyond chance, the clearest first.
    alpha: the share of fair histories of which it rejects any. unknown: why there are none.
    """

    made: int
    rejected: tuple[HypothesisTest, ...]
    alpha: float
    unknown: str | None = None

    @property
    def named(self) -> str:
        """The rejected tests with their corrected p-values."""
        shown = [f"{test.name} (p {p_text(test.p_corrected)})" for test in self.rejected[:_SHOWN]]
        more = len(self.rejected) - len(shown)
        return ", ".join(shown) + (f" and {more} more" if more else "")

    @property
    def sentences(self) -> tuple[str, ...]:
        """What Step 0 has found, for a page."""
        if self.unknown is not None:
            return (f"Whether the draws are uniform was not tested: {self.unknown}.",)
        if not self.made:
            return ("Whether the draws are uniform was not tested: they are too few for step 0.",)
        if not self.rejected:
            return (
                f"Step 0 tested the draws for bias, order and changes: none of its {self.made} "
                f"tests has a corrected p of {self.alpha:g} or less.",
            )
        return (
            f"Step 0: the draws are not uniform and independent, by {len(self.rejected)} of "
            f"{self.made} tests: {self.named}; see {REGIMES_REPORT}. Of fair histories at most "
            f"{self.alpha:.2g} are called so by chance.",
            *(test.sentence for test in self.rejected[:_SHOWN]),
        )


def fairness_of(path: Path | None, history: HistoryFacts) -> Fairness:
    """What Step 0 says of this history; path: None where there is no document.

    Raises StepRefused where the document cannot be read. One about another history, or about this
    one read in another way, is not used.
    """
    if path is None:
        return Fairness(0, (), 0.0, "step 0 has not run")
    regimes = read_document(path, Regimes)
    ours = (history.sha256, history.low, history.modulus, history.draws)
    theirs = regimes.history
    if (theirs.sha256, theirs.low, theirs.modulus, theirs.draws) != ours:
        why = f"{REGIMES_FILE} is about another history, or about another range of its draws"
        return Fairness(0, (), 0.0, f"{why}; run step 0 again")
    alpha = min(regimes.alpha, _VERDICT_ALPHA)
    rejected = [test for test in regimes.tests if test.p_corrected <= alpha]
    return Fairness(
        len(regimes.tests),
        tuple(sorted(rejected, key=lambda test: test.p_corrected)),
        alpha,
    )
