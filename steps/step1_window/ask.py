"""Make one planned search, from where an earlier run has left it, and keep its answer."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from steps.prng.generators import generator_named
from steps.prng.mappings import Draws, mapping_named
from steps.prng.recovery.algebra import recover_state
from steps.prng.recovery.brute_force import search_seeds
from steps.prng.recovery.found import CannotRecover, Found, Search, TooFewDraws
from steps.prng.recovery.question import Question
from steps.prng.recovery.sifting import SifterFailed
from steps.step1_window.answers import Answer, AnswerStore
from steps.step1_window.efforts import seeds_per_s
from steps.step1_window.planned import Planned
from steps.step1_window.seed_devices import SeedDevices

# A search of seeds writes down where it stands this often.
_SLICE_S = 5.0


@dataclass(frozen=True, eq=False)
class Asker:
    """What all searches share. draws: of each stream, int64 (n,), of the train part only.

    alpha: of one search. threads: of a search of seeds. should_stop: asked between pieces of work.
    devices: where seeds are sifted.
    """

    draws: dict[str, Draws] = field(repr=False)
    modulus: int
    alpha: float
    store: AnswerStore
    threads: int
    should_stop: Callable[[], bool]
    devices: SeedDevices = field(default_factory=partial(SeedDevices, None))
    clock: Callable[[], float] = time.monotonic

    def ask(self, planned: Planned) -> Answer:
        """The answer; not complete where people or the budget have stopped the search."""
        question = self._question(planned)
        text = self._text(planned, question)
        kept = self.store.load(text)
        if kept is not None and kept.complete:
            return kept
        if self.should_stop():
            return kept or Answer()
        started = self.clock()
        try:
            if planned.method == "algebra":
                answer = self._by_algebra(question, started)
            else:
                answer = self._by_seeds(planned, question, kept or Answer(), text)
        except CannotRecover as refusal:
            wanted = refusal.wanted if isinstance(refusal, TooFewDraws) else None
            return Answer(refusal=str(refusal), draws_wanted=wanted, complete=True)
        if answer.complete:
            self.store.keep(text, answer)
        return answer

    def _question(self, planned: Planned) -> Question:
        return Question(
            generator_named(planned.generator),
            mapping_named(planned.mapping),
            self.modulus,
            self.draws[planned.stream][planned.first : planned.stop],
            planned.gaps,
            corruption=planned.corruption,
            missing_rate=planned.missing_rate,
            starts=planned.starts,
            alpha=self.alpha,
            should_stop=self.should_stop,
        )

    def _by_algebra(self, question: Question, started: float) -> Answer:
        search = recover_state(question)
        return Answer(
            best=search.best,
            proven=search.found is not None,
            log_hypotheses=search.log_hypotheses,
            candidates=search.candidates,
            complete=search.complete,
            seconds=self.clock() - started,
        )

    def _by_seeds(self, planned: Planned, question: Question, answer: Answer, text: str) -> Answer:
        assert planned.seeding is not None  # noqa: S101
        cpu_s, elsewhere = self._cpu_s(planned, planned.seeding), True
        while not answer.complete and not self.should_stop():
            started = self.clock()
            paused = replace(question, should_stop=self._pause(started))
            try:
                search = search_seeds(
                    paused,
                    planned.seeding,
                    seeds=planned.seeds,
                    offsets=planned.offsets,
                    threads=self.threads,
                    start_block=answer.next_block,
                    sifter=self.devices.sifter(cpu_s) if elsewhere else None,
                )
            except SifterFailed as failure:
                # The same slice again, and here.
                self.devices.failed(failure)
                elsewhere = False
                continue
            elsewhere = True
            done = search.search
            answer = Answer(
                best=_better(answer.best, done),
                proven=done.found is not None,
                log_hypotheses=done.log_hypotheses,
                candidates=answer.candidates + done.candidates,
                seeds=(answer.seeds or 0) + search.tested,
                next_block=search.next_block or 0,
                complete=done.complete,
                seconds=answer.seconds + self.clock() - started,
            )
            if not answer.complete:
                self.store.keep(text, answer)
        return answer

    def _cpu_s(self, planned: Planned, seeding: str) -> float:
        """About how long the search of seeds takes on the CPU, with these threads."""
        generator = generator_named(planned.generator)
        per_draw = mapping_named(planned.mapping).outputs_per_draw(generator, self.modulus)
        rate = seeds_per_s(generator.name, seeding, per_draw, planned.corruption)
        passes = len(planned.gaps) * len(planned.offsets)
        return passes * len(planned.seeds) / rate / self.threads

    def _pause(self, started: float) -> Callable[[], bool]:
        """Whether a slice that began then is to end."""
        return lambda: self.should_stop() or self.clock() >= started + _SLICE_S

    def _text(self, planned: Planned, question: Question) -> str:
        """The exact question, one line."""
        return json.dumps(
            {
                "draws": hashlib.sha256(question.draws.astype("<i8").tobytes()).hexdigest(),
                "modulus": self.modulus,
                "generator": planned.generator,
                "mapping": planned.mapping,
                "method": planned.method,
                "gaps": [planned.gaps.start, planned.gaps.stop],
                "corruption": planned.corruption,
                "missing_rate": planned.missing_rate,
                "starts": planned.starts,
                "seeding": planned.seeding,
                "seeds": [planned.seeds.start, planned.seeds.stop],
                "offsets": planned.offsets,
                "alpha": self.alpha,
            }
        )


def _better(best: Found | None, search: Search) -> Found | None:
    if best is None or (search.best is not None and search.best.score > best.score):
        return search.best
    return best


def readable(draws: Draws) -> int:
    """How many draws can be read."""
    return int(np.count_nonzero(draws >= 0))
