"""Choose stretches of a history that are short enough to have no draw missing."""

from __future__ import annotations

from collections.abc import Iterator

from steps.prng.recovery.looks import tries_wanted
from steps.prng.recovery.question import Question
from steps.prng.recovery.shown import Shown

# More would only be looked at where draws are missing at every turn.
_MOST_WINDOWS = 64


def windows(question: Question, shown: Shown, draws: int) -> Iterator[Shown]:
    """Stretches of `draws` readable draws, evenly spread from the first on.

    One where no draws are missing; else so many that one of them is whole but for one case in two
    thousand, as far as the history has room. question.starts says otherwise. Raises TooFewDraws.
    """
    question.require(draws, "the search for a state")
    readable = shown.draw.shape[0] // shown.per_draw
    wanted = tries_wanted((1 - question.missing_rate) ** (draws - 1))
    room = readable - draws
    count = min(question.starts or min(wanted, _MOST_WINDOWS), room + 1)
    for number in range(count):
        start = room * number // max(count - 1, 1)
        yield shown.rows(start * shown.per_draw, (start + draws) * shown.per_draw)
