"""Make the planned searches in order, and those that a find gives rise to."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial

from steps.forensics.documents import CandidateRecord, SearchRecord
from steps.step1_window.answers import Answer
from steps.step1_window.ask import Asker
from steps.step1_window.evidence import Evidence
from steps.step1_window.plan_algebra import FEWEST_STARTS
from steps.step1_window.planned import Planned

EXPLAINED = "its draws are explained already"
OUT_OF_TIME = "the time of search_minutes was used up"
# A machine seeded anew is looked for where the last stretch has ended, and so many draws later.
_LATER = 3
_FEWEST_DRAWS = 6
# Seeds that are tried again for each stretch.
_MOST_SEEDS_ANEW = 1 << 32

Tell = Callable[[str], None]


def most_follow_ups(draws: int) -> int:
    """How many searches finds may give rise to, so that they can be paid for beforehand."""
    return min(512, max(8, draws // 8))


class Stopped(Exception):
    """People asked the step to stop; answers are kept."""


@dataclass(eq=False)
class Searcher:
    """Makes searches, `threads` at a time, with the same results however many there are.

    stopped: whether people want the step to end; out_of_time: whether its budget is spent.
    follow_ups: how many more searches finds may give rise to.
    """

    asker: Asker
    evidence: Evidence
    log_searches: float
    threads: int
    follow_ups: int
    stopped: Callable[[], bool]
    out_of_time: Callable[[], bool]
    tell: Tell
    records: list[SearchRecord] = field(default_factory=list)
    _asked: set[Planned] = field(default_factory=set)

    def make(self, plan: Sequence[Planned]) -> None:
        """Make all searches of the plan that are wanted. Raises Stopped."""
        algebra = [planned for planned in plan if planned.method == "algebra"]
        seeds = [planned for planned in plan if planned.method == "seeds"]
        done = 0
        with ThreadPoolExecutor(self.threads) as pool:
            waiting = deque(algebra)
            running: deque[tuple[Planned, Future[Answer]]] = deque()
            try:
                while waiting or running:
                    while waiting and len(running) < self.threads:
                        planned = waiting.popleft()
                        # Decided here where that is possible, and again when its turn has come.
                        skip = self._needless(planned) is not None
                        running.append((planned, pool.submit(self._ask, planned, skip)))
                    planned, future = running.popleft()
                    self._say(planned, done, len(plan))
                    self._enter(planned, future.result)
                    done += 1
            finally:
                for _, future in running:
                    future.cancel()
        for planned in seeds:
            self._say(planned, done, len(plan))
            self._enter(planned, partial(self.asker.ask, planned))
            done += 1

    def _ask(self, planned: Planned, skip: bool) -> Answer:
        return Answer() if skip else self.asker.ask(planned)

    def _enter(self, planned: Planned, answer_of: Callable[[], Answer]) -> None:
        """What one search came to, and what follows from it."""
        found = self._enter_one(planned, answer_of)
        if found is not None:
            self._follow(planned, found)

    def _enter_one(
        self, planned: Planned, answer_of: Callable[[], Answer]
    ) -> CandidateRecord | None:
        if self.stopped():
            raise Stopped
        why = self._needless(planned)
        if why is not None:
            self.records.append(record_of(planned, Answer(), self.log_searches, why))
            return None
        answer = answer_of()
        if not answer.complete and self.stopped():
            raise Stopped
        why = answer.refusal
        if why is None and not answer.complete and not answer.seeds:
            why = OUT_OF_TIME
        found = self.evidence.hold(planned, answer)
        record = record_of(planned, answer, self.log_searches, why)
        self.records.append(record.model_copy(update={"found": found is not None}))
        return found

    def _needless(self, planned: Planned) -> str | None:
        if planned.left_out is not None:
            return planned.left_out
        if not self.evidence.left(planned.stream, planned.first, planned.stop):
            return EXPLAINED
        return OUT_OF_TIME if self.out_of_time() else None

    def _follow(self, planned: Planned, found: CandidateRecord) -> None:
        """Look for the same machine in what it has not explained: it may have been seeded anew."""
        while (search := self._again(planned, found)) is not None:
            self._asked.add(search)
            self.follow_ups -= 1
            self.tell(f"{search.words}, seeded anew after draw {search.first - 1}")
            self._enter_one(search, partial(self.asker.ask, search))

    def _again(self, planned: Planned, found: CandidateRecord) -> Planned | None:
        """The next such search, None where there is none that has not been made."""
        if self.follow_ups < 1:
            return None
        for first, stop in self.evidence.gaps(found.stream):
            if stop - first < _FEWEST_DRAWS:
                continue
            for search in _seeded_anew(planned, found, first, stop):
                if search not in self._asked:
                    return search
        return None

    def _say(self, planned: Planned, done: int, planned_searches: int) -> None:
        self.tell(f"{planned.words}: {done + 1} of {planned_searches} searches")


def record_of(
    planned: Planned, answer: Answer, log_searches: float, not_tried: str | None
) -> SearchRecord:
    """One search for the record. best_score: after all searches were paid for."""
    best = answer.best
    return SearchRecord(
        stream=planned.stream,
        first=planned.first,
        stop=planned.stop,
        generator=planned.generator,
        mapping=planned.mapping,
        method=planned.method,
        seeding=planned.seeding,
        seeds=answer.seeds if planned.method == "seeds" else None,
        gaps=len(planned.gaps),
        largest_gap=planned.gaps[-1],
        offsets=len(planned.offsets),
        corruption=planned.corruption,
        missing_rate=planned.missing_rate,
        log10_hypotheses=answer.log_hypotheses / math.log(10),
        candidates=answer.candidates,
        best_score=None if best is None else best.score - log_searches,
        complete=answer.complete and not_tried is None,
        not_tried=not_tried,
        draws_wanted=answer.draws_wanted,
        seconds=round(answer.seconds, 3),
    )


def time_is_up(
    minutes: float | None, clock: Callable[[], float] = time.monotonic
) -> Callable[[], bool]:
    """Whether so many minutes have passed from now on; never where there is no budget."""
    if minutes is None:
        return lambda: False
    until = clock() + 60 * minutes
    return lambda: clock() >= until


def _seeded_anew(planned: Planned, found: CandidateRecord, first: int, stop: int) -> list[Planned]:
    """Searches for the machine of the find in draws first..stop - 1 of its stream."""
    one_gap = range(found.gap, found.gap + 1)
    base = replace(planned, first=first, stop=stop, gaps=one_gap, offsets=(0,), left_out=None)
    if planned.method == "algebra":
        return [replace(base, starts=max(base.starts or 1, FEWEST_STARTS))]
    if first == 0 or len(planned.seeds) > _MOST_SEEDS_ANEW:
        return []  # where the machine was seeded before draw 0 is not known
    # The last draw of the stretch before may have been a wrong one.
    return [replace(base, first=later) for later in range(first, min(first + _LATER, stop))]
