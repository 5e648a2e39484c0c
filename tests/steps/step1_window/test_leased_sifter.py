"""Siftings go to the devices of a pool and come back; what cannot be trusted is a failure."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gpu.host.pool import JobEnded
from gpu.protocol import PredictDone, TrainFailed
from gpu.protocol.seeds import PartSifted, SiftDone
from steps.prng import GENERATORS, MAPPINGS, Law
from steps.prng.recovery import brute_force
from steps.prng.recovery.brute_force import BLOCK_SEEDS, search_seeds
from steps.prng.recovery.question import Question
from steps.prng.recovery.seed_lanes import lanes_of
from steps.prng.recovery.sifting import SifterFailed, sift_here
from steps.step1_window import leased_sifter
from steps.step1_window.leased_sifter import GpusTaken, LeasedSifter, job_of, kernel_of

SEED = 300_000


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


class PoolHere:
    """The face of Pool; a job is done by the kernel for the CPU, when somebody waits.

    free: devices that can be leased. spoil: what becomes of the number-th reply.
    """

    def __init__(self, free=1, spoil=lambda number, reply: reply):
        self.free, self.spoil = free, spoil
        self.clock = Clock()
        self.at_work, self.most, self.jobs, self.siftings = [], 0, [], {}

    @property
    def running(self):
        return tuple(self.at_work)

    def try_start(self, job):
        if len(self.at_work) == self.free:
            return False
        self.at_work.append(job)
        self.jobs.append(job)
        self.most = max(self.most, len(self.at_work))
        return True

    def wait(self, timeout_s):
        if not self.at_work:
            self.clock.now += timeout_s
            return []
        job = self.at_work.pop(0)
        reply = self.spoil(len(self.jobs), done(job))
        return [JobEnded(job, reply, 0.1)]


def done(job):
    lanes = next(
        lanes
        for name, generator in GENERATORS.items()
        for seeding in generator.seedings
        if (lanes := lanes_of(name, seeding)) is not None
        and (lanes.kernel.__name__, lanes.constants) == (job.kernel, job.constants)
    )
    made = sift_here(sifting_of(job, lanes))
    parts = tuple(
        PartSifted(
            passed=part.passed,
            survivors=part.survivors,
            seeds=tuple(part.seeds.tolist()),
            matched=tuple(part.matched.tolist()),
        )
        for part in made
    )
    return SiftDone(id=job.id, parts=parts, duration_s=0.1, device="cpu")


def sifting_of(job, lanes):
    return brute_force.Sifting(
        lanes=lanes,
        seeds=range(job.first, job.first + job.size),
        part=job.part,
        moves=np.array(job.moves, np.uint64),
        shift=job.shift,
        tests=np.array(job.tests, np.uint64),
        looks=brute_force.Looks(job.looks, job.floor, job.total_floor),
        keep=job.keep,
    )


def part_of(reply, **changes):
    return reply.model_copy(update={"parts": (reply.parts[0].model_copy(update=changes),)})


@pytest.fixture(scope="module")
def question():
    law = Law(GENERATORS["java"], MAPPINGS["mod"], 1000)
    seeded = law.generator.seed(np.array([SEED], np.uint64), "scramble")
    return Question(law.generator, law.mapping, 1000, law.draws(seeded, 40)[0], (0, 1))


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch):
    monkeypatch.setattr(brute_force, "_BLOCKS_AT_ONCE", 8)
    monkeypatch.setattr(leased_sifter, "PARTS_AT_ONCE", 2)


def search(question, pool, devices=1, **options):
    sifter = LeasedSifter(pool, devices, pool.clock)
    return search_seeds(
        question, "scramble", **{"seeds": range(400_000), "sifter": sifter, **options}
    )


@pytest.mark.parametrize("devices", [1, 3])
def test_all_devices_are_at_work_and_the_answer_is_the_one_from_here(question, devices):
    pool = PoolHere(devices)
    there = search(question, pool, devices)
    assert there == search(question, pool, sifter=None)
    assert there.search.found.seed == SEED
    assert pool.most == devices
    assert max(job.size for job in pool.jobs) == 2 * 8 * BLOCK_SEEDS
    assert len({job.id for job in pool.jobs}) == len(pool.jobs)


def test_every_device_is_tried_before_it_is_trusted(question):
    pool = PoolHere(2)
    sifter = LeasedSifter(pool, 2, pool.clock)
    for _ in range(2):
        search(question, pool, sifter=sifter)
    trials = [job for job in pool.jobs if job.floor == job.total_floor == 1]
    assert [(job.first, job.size) for job in trials] == [(0, 1 << 16)] * 2
    # They are the first that the pool was given, and not given again.
    assert trials == pool.jobs[:2]
    assert done(trials[0]).parts[0].survivors > 20


@pytest.mark.parametrize(
    "change",
    [
        lambda part: {"matched": (part.matched[0] + 1, *part.matched[1:])},
        lambda part: {"seeds": (part.seeds[0] + 1, *part.seeds[1:])},
        lambda part: {"passed": part.passed + 1},
    ],
)
@pytest.mark.parametrize("device", [1, 2])
def test_a_kernel_that_differs_is_not_used(question, change, device):
    """On either device; nothing of the search itself has been given to it by then."""

    def spoil(number, reply):
        return part_of(reply, **change(reply.parts[0])) if number == device else reply

    numbered = iter(range(1, 10))
    pool = PoolHere(2, lambda _, reply: spoil(next(numbered), reply))
    with pytest.raises(SifterFailed, match="java and the one for the CPU differ on 65536 seeds"):
        search(question, pool, 2)
    assert all(job.total_floor == 1 for job in pool.jobs)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda r: TrainFailed(kind="crashed", message="killed", id=r.id), r"\(crashed\): killed"),
        (lambda r: PredictDone(id=r.id, n_rows=1), "answered predict_complete to sift_seeds"),
        (lambda r: r.model_copy(update={"parts": r.parts * 2}), "4 parts of 2"),
        (lambda r: r.model_copy(update={"parts": r.parts[:1]}), "1 parts of 2"),
    ],
)
def test_a_reply_that_is_no_answer_is_a_failure(question, spoil, told):
    # The first reply is the trial's.
    pool = PoolHere(1, lambda number, reply: spoil(reply) if number > 1 else reply)
    with pytest.raises(SifterFailed, match=told):
        search(question, pool)


@pytest.mark.parametrize(
    "changes",
    [{"passed": 1 << 20}, {"survivors": 1}, {"survivors": 1, "seeds": (1 << 40,), "matched": (9,)}],
)
def test_counts_and_seeds_that_cannot_be_are_a_failure(question, changes):
    pool = PoolHere(1, lambda number, reply: part_of(reply, **changes) if number > 1 else reply)
    with pytest.raises(SifterFailed, match="a worker answered"):
        search(question, pool, seeds=range(8 * BLOCK_SEEDS))


def test_devices_that_others_hold_are_waited_for_a_moment_only(question):
    pool = PoolHere(0)
    with pytest.raises(GpusTaken, match="other runs hold every GPU"):
        search(question, pool)
    assert 1 < pool.clock.now < 4


def test_what_is_called_off_is_not_begun(question):
    pool = PoolHere(1)
    sifter = LeasedSifter(pool, 1, pool.clock)
    search(question, pool, sifter=sifter, seeds=range(SEED + 1))
    begun = len(pool.jobs)
    # The one that was at work is done by now; its answer is dropped, and later ones come.
    assert search(question, pool, sifter=sifter).search.found.seed == SEED
    assert len(pool.jobs) > begun
    assert sifter._ended == {}
    assert not sifter._waiting


def test_a_generator_without_a_kernel_there_stays_here(monkeypatch):
    lanes = lanes_of("java", "scramble")
    assert kernel_of(lanes) == "java"

    def randu(work):
        return 0

    assert kernel_of(replace(lanes, kernel=randu)) is None
    sifter = LeasedSifter(PoolHere(), 1)
    assert [sifter.parts_at_once(replace(lanes, kernel=k)) for k in (randu, lanes.kernel)] == [0, 2]
    # Jobs of a generator that is slow to seed are smaller.
    monkeypatch.undo()
    twister = lanes_of("mt19937", "init_genrand")
    assert sifter.parts_at_once(twister) < sifter.parts_at_once(lanes)


def test_a_job_says_what_the_kernel_here_is_told(question):
    asked = []

    class Sifter:
        at_once = 1

        def parts_at_once(self, lanes):
            return 1

        def submit(self, sifting):
            asked.append(sifting)
            raise SifterFailed("enough")

    with pytest.raises(SifterFailed):
        search_seeds(question, "scramble", seeds=range(7, 400_000), sifter=Sifter())
    job = job_of(asked[0], "a")
    assert (job.first, job.size, job.part) == (7, 8 * BLOCK_SEEDS, 8 * BLOCK_SEEDS)
    assert (job.floor, job.looks) == (asked[0].looks.floor, asked[0].looks.looks)
    assert job.word == 32
    assert job.deadline_s == 240.0
