"""Histories whose origin is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from steps.prng import GENERATORS, MAPPINGS, Law
from steps.prng.recovery.question import Question


@dataclass(frozen=True)
class History:
    """Draws, and the truth about them: the state that draw 0 is read from."""

    law: Law
    draws: np.ndarray
    state: tuple[int, ...]
    missing: int

    def question(self, gaps=None, **rates):
        law = self.law
        gaps = (law.gap,) if gaps is None else gaps
        return Question(law.generator, law.mapping, law.modulus, self.draws, gaps, **rates)


@pytest.fixture(scope="session")
def history():
    def make(
        generator,
        mapping="mod",
        modulus=1000,
        draws=60,
        *,
        gap=0,
        offset=7,
        seed=20240607,
        seeding=None,
        corruption=0.0,
        missing=(),
        unread=(),
    ):
        law = Law(GENERATORS[generator], MAPPINGS[mapping], modulus, gap, offset)
        seeding = seeding or law.generator.seedings[0]
        seeded = law.generator.seed(np.array([seed], np.uint64), seeding)
        made = np.delete(law.draws(seeded, draws + len(missing))[0], list(missing))
        chance = np.random.default_rng(seed)
        wrong = chance.choice(draws, round(corruption * draws), replace=False)
        made[wrong] = chance.integers(0, modulus, wrong.size)
        made[list(unread)] = -1
        state = tuple(int(word) for word in law.states_before(seeded, 0)[0])
        return History(law, made, state, len(missing))

    return make


@pytest.fixture(scope="session")
def noise():
    def make(generator, mapping="mod", modulus=1000, draws=60, *, seed, gaps=(0,), **rates):
        made = np.random.default_rng(seed).integers(0, modulus, draws)
        return Question(GENERATORS[generator], MAPPINGS[mapping], modulus, made, gaps, **rates)

    return make
