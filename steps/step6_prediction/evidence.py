"""All that a verdict rests on, and in one word what it comes to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from steps.forensics.documents import HypothesisTest, WindowConfig
from steps.forensics.history import ALL
from steps.forensics.matches import predicted_draws
from steps.forensics.multiplicity import corrected
from steps.step6_prediction.fairness import Fairness
from steps.step6_prediction.following import Followed
from steps.step6_prediction.guesses import GUESSES
from steps.step6_prediction.known import Known
from steps.step6_prediction.replay import Replay
from steps.step6_prediction.step5 import Step5
from steps.step6_prediction.wording import machine

# A replay speaks for a mixture only where a test rejects chance at this, corrected for all tests.
REPLAY_ALPHA = 0.01
# Simple rules foretell only where chance is rejected at this, corrected for all tests. Stricter
# than Step 0's, so that both together call few fair histories uneven.
GUESS_ALPHA = 0.001

# Proven candidates that are told of beside the source.
_OTHERS = 5

Finding = Literal[
    "goes on", "ended", "too few draws", "better than chance", "not uniform", "chance"
]


@dataclass(frozen=True, eq=False)
class Evidence:
    """followed: the candidates beyond chance. guesses: guess_tests of all known draws."""

    window: WindowConfig
    known: Known
    followed: tuple[Followed, ...]
    replay: Replay
    step5: Step5
    fairness: Fairness
    guesses: tuple[HypothesisTest, ...] = ()

    @property
    def source(self) -> Followed | None:
        """The candidate that speaks for the history: of those that go on the best. Where none does,
        the latest of the law that the best of all has.
        """
        going = [followed for followed in self.followed if followed.goes_on]
        best = max(going or self.followed, key=lambda f: f.score, default=None)
        if best is None or best.goes_on:
            return best
        return max(_of_one_law(best, self.followed), key=lambda f: f.recorded.stop)

    @property
    def states(self) -> tuple[Followed, ...]:
        """The source, and what has ended of its law in its stream, in order of their draws."""
        source = self.source
        if source is None:
            return ()
        own = [f for f in _of_one_law(source, self.followed) if f is source or not f.goes_on]
        return tuple(sorted(own, key=lambda f: f.source.first))

    @property
    def other_streams(self) -> tuple[Followed, ...]:
        """The best candidate that goes on of each stream but the source's, in order; none where the
        source is one of all draws.
        """
        source = self.source
        if source is None or source.source.stream == ALL or not source.goes_on:
            return ()
        best = []
        for stream in self.known.train.facts.streams:
            own = [f for f in self.followed if f.source.stream == stream and f.goes_on]
            if own and stream != source.source.stream:
                best.append(max(own, key=lambda f: f.score))
        return tuple(best)

    @property
    def others(self) -> tuple[Followed, ...]:
        """Those beyond chance that say something else than the source and are none of its states,
        the best first.

        What holds for all draws holds for those of each session: these are not told again.
        """
        source = self.source
        if source is None:
            return ()
        told = {_next(one, self.known) for one in self.states}
        others = []
        for other in sorted(self.followed, key=lambda f: -f.score):
            of_session = "all" == source.source.stream != other.source.stream
            if not of_session and _next(other, self.known) not in told:
                told.add(_next(other, self.known))
                others.append(other)
        return tuple(others[:_OTHERS])

    @property
    def tests(self) -> tuple[HypothesisTest, ...]:
        """All tests of the document, corrected for each other."""
        tests = [*self.replay.tests, *self.guesses]
        source = self.source
        if source is not None:
            tests += [_held_back(one) for one in (source, *self.other_streams) if _tried(one)]
        return corrected(tests)

    @property
    def foretold_by(self) -> tuple[HypothesisTest, ...]:
        """The simple rules that foretell the draws held back beyond chance, the clearest first."""
        sure = [t for t in self.tests if t.name in GUESSES and t.p_corrected <= GUESS_ALPHA]
        return tuple(sorted(sure, key=lambda test: test.p_value))


def find(evidence: Evidence) -> Finding:
    """What the evidence comes to. A mixture of unproven candidates counts only where Step 5 saw a
    signal in them and the replay rejects chance.
    """
    source = evidence.source
    if source is not None:
        return "goes on" if source.goes_on else "ended"
    too_few = evidence.window.verdict == "insufficient data"
    replayed = [test for test in evidence.tests if test.name not in GUESSES]
    rejects = any(test.p_corrected <= REPLAY_ALPHA for test in replayed)
    if evidence.step5.signal in {"weak", "strong"} and rejects and not too_few:
        return "better than chance"
    cycle = evidence.window.cycle is not None
    if cycle or evidence.fairness.rejected or evidence.foretold_by:
        return "not uniform"
    return "too few draws" if too_few else "chance"


def _of_one_law(one: Followed, among: Sequence[Followed]) -> list[Followed]:
    """Those of the same generator, mapping, gap and stream, itself among them."""

    def law(followed: Followed) -> tuple[object, ...]:
        source = followed.source
        return source.stream, source.generator, source.mapping, source.gap

    return [other for other in among if law(other) == law(one)]


def _tried(followed: Followed) -> bool:
    return followed.holdout_trials > 0


def _held_back(followed: Followed) -> HypothesisTest:
    stream = followed.source.stream
    of = "" if stream == ALL else f" of {stream}"
    return HypothesisTest(
        name=f"draws held back{of}",
        statistic=followed.holdout_hits,
        p_value=followed.p_value,
        p_corrected=followed.p_value,
        hypotheses=followed.looked_at,
        sentence=f"{followed.holdout_hits} of {followed.holdout_trials} draws held back{of} "
        f"were foretold by {machine(followed.recorded)}",
    )


def _next(followed: Followed, known: Known) -> tuple[str, tuple[int, ...]]:
    """What a candidate says of the draws to come: by this two are told apart."""
    stream = followed.source.stream
    ahead = predicted_draws([followed.source], known.stream(stream).size, 10, threads=1)[0]
    return stream, tuple(ahead.tolist())
