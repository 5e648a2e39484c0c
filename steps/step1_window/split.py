"""Split a history by position: the earlier draws to learn from, the later ones to be tested on."""

from __future__ import annotations

from pathlib import Path

from steps.contract import Note, StepRequest
from steps.errors import StepRefused
from steps.forensics.documents import REGIMES_FILE, Regimes, Segment, read_document
from steps.forensics.history import DrawHistory


def train_count(history: DrawHistory, holdout_fraction: float) -> int:
    """How many draws, the earliest, are the train part; the holdout begins right there, always.

    At least one draw is in either. Raises StepRefused for a history of fewer than two.
    """
    draws = len(history.dates)
    if draws < 2:
        raise StepRefused(
            "bad_input", f"{history.facts.path}: wanted at least 2 draws, got {draws}"
        )
    held_out = min(max(1, round(draws * holdout_fraction)), draws - 1)
    return draws - held_out


def segments_of(
    request: StepRequest, history: DrawHistory, train: int
) -> tuple[tuple[Segment, ...], tuple[Note, ...]]:
    """Step 0's segments as far as they lie in the train part; none where it has not run."""
    path = request.inputs.get("regimes")
    if path is None:
        return (), ()
    regimes = read_document(Path(path), Regimes)
    if regimes.history.sha256 != history.facts.sha256:
        text = f"{REGIMES_FILE} is about another history and was not used; run Step 0 again"
        return (), (Note(level="info", code="other_regimes", message=text),)
    return tuple(
        Segment(first=segment.first, stop=min(segment.stop, train))
        for segment in regimes.segments
        if segment.first < train
    ), ()
