"""Siftings as searches over seeds ask for them, and what a worker is asked then."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from steps.prng import GENERATORS, MAPPINGS, Law
from steps.prng.recovery.brute_force import search_seeds
from steps.prng.recovery.looks import Looks
from steps.prng.recovery.question import Question
from steps.prng.recovery.sifting import SifterFailed
from steps.step1_window.leased_sifter import job_of


class Recorder:
    """A Sifter that remembers what it was asked, and fails."""

    at_once = 1

    def parts_at_once(self, lanes):
        return 1000

    def submit(self, sifting):
        self.asked = sifting
        raise SifterFailed("only asked")


def _asked(
    generator,
    seeding,
    mapping="mod",
    modulus=1000,
    *,
    seeds,
    made_by,
    gap=0,
    offset=0,
    corruption=0.0,
    draws=60,
):
    """The sifting of the seeds where the seed `made_by` has made the draws."""
    law = Law(GENERATORS[generator], MAPPINGS[mapping], modulus, gap, offset)
    seeded = law.generator.seed(np.array([made_by], np.uint64), seeding)
    question = Question(
        law.generator,
        law.mapping,
        modulus,
        law.draws(seeded, draws)[0],
        (gap,),
        corruption=corruption,
    )
    recorder = Recorder()
    with pytest.raises(SifterFailed):
        search_seeds(question, seeding, seeds=seeds, offsets=(offset,), sifter=recorder)
    return recorder.asked


@pytest.fixture(scope="session")
def asked():
    """(generator, seeding, mapping, modulus, *, seeds, made_by, ...) -> Sifting."""
    return _asked


@pytest.fixture(scope="session")
def easy():
    """The sifting with every seed kept that matches anything in the first looks."""

    def make(sifting, *, looks=None, part=None):
        looks = Looks(looks or sifting.looks.looks, 1, 1)
        part = part or len(sifting.seeds)
        return replace(sifting, looks=looks, part=part, keep=len(sifting.seeds))

    return make


@pytest.fixture(scope="session")
def job():
    """Sifting -> SiftSeeds."""
    return lambda sifting: job_of(sifting, "sift")
