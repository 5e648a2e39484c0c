"""Put everything that was tested of a history into one document, corrected for all of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import numpy as np

from steps.forensics.documents import HypothesisTest, Regimes, Segment
from steps.forensics.history import DrawHistory
from steps.forensics.multiplicity import corrected
from steps.forensics.wording import p_text
from steps.step0_regimes.changes import FEWEST_DRAWS, Change
from steps.step0_regimes.segments import find_cuts
from steps.step0_regimes.settings import RegimeSettings
from steps.step0_regimes.uniformity import FEWEST_DRAWS as FEWEST_TESTED
from steps.step0_regimes.uniformity import OF_VALUES, uniformity_tests

CHANGE = "change of "


def find_regimes(
    history: DrawHistory,
    settings: RegimeSettings,
    run_id: str,
    before_part: Callable[[int, int], None],
) -> Regimes:
    """Test a history and cut it into regimes. before_part: as in find_cuts."""
    draws, modulus = history.draws, history.facts.modulus
    of_the_whole = uniformity_tests(draws, modulus, history.sessions)
    cuts = find_cuts(
        draws,
        modulus,
        [test.p_value for test in of_the_whole],
        alpha=settings.regime_alpha,
        permutations=settings.regime_permutations,
        seed=settings.seed,
        before_part=before_part,
    )
    tests = corrected([*of_the_whole, *(_test_of(change, history) for change in cuts.changes)])
    segments = cuts.segments(draws.size)
    rejected = [test for test in tests if test.p_corrected <= settings.regime_alpha]
    return Regimes(
        run_id=run_id,
        created_at=datetime.now(UTC),
        history=history.facts,
        tests=tests,
        segments=segments,
        uniform=not any(test.name in OF_VALUES for test in rejected),
        alpha=settings.regime_alpha,
        headline=_headline(history, segments, tests, rejected),
    )


def _test_of(change: Change, history: DrawHistory) -> HypothesisTest:
    return HypothesisTest(
        name=f"{CHANGE}{change.kind}",
        statistic=change.statistic,
        p_value=change.p_value,
        p_corrected=1.0,
        hypotheses=change.places,
        sentence=f"In draws {change.first} to {change.stop - 1} the likeliest change of "
        f"{change.kind} is at {draw_and_date(history, change.at)}, seen by {change.view} (p "
        f"{p_text(change.p_value)}).",
    )


def _headline(
    history: DrawHistory,
    segments: Sequence[Segment],
    tests: Sequence[HypothesisTest],
    rejected: Sequence[HypothesisTest],
) -> str:
    read = int(np.count_nonzero(history.draws >= 0))
    cuts = ", ".join(draw_and_date(history, segment.first) for segment in segments[1:])
    if len(segments) > 1:
        regimes = f"{len(segments)} regimes: the draws change at {cuts}"
    elif read < FEWEST_DRAWS:
        regimes = f"One regime: {read} draws are too few to look for a change ({FEWEST_DRAWS} do)"
    else:
        regimes = "One regime: nothing shows that the machine changed"
    others = [test for test in rejected if not test.name.startswith(CHANGE)]
    if others:
        named = ", ".join(f"{test.name} (p {p_text(test.p_corrected)})" for test in others)
        return f"{regimes}; the draws are not uniform and independent: {named}."
    if all(test.name.startswith(CHANGE) for test in tests):
        return f"{regimes}; for tests of bias they are too few, too ({FEWEST_TESTED} do)."
    return f"{regimes}; {read} draws show no bias."


def draw_and_date(history: DrawHistory, draw: int) -> str:
    """A draw by its number, and its date where the file has one."""
    date = history.dates[draw] if draw < len(history.dates) else None
    return f"draw {draw}" if date is None else f"draw {draw} ({date})"
