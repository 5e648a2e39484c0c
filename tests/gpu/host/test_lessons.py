"""Lessons about memory are values: each one makes a new estimate, never a smaller one."""

from __future__ import annotations

from gpu.host.lessons import LARGEST_FACTOR, MemoryLessons
from gpu.host.vram import DataSize, gpu_batch_mib, networks_that_fit
from gpu.params import complete_params

SIZE = DataSize(10_000, 6_000, 2_000, 30, 40, 4)


def test_a_halved_batch_halves_the_next_one():
    records = [
        complete_params("neural_net", {"batch_mode": "full", "hidden_layers": (512, 512)})
    ] * 10
    free_mib = gpu_batch_mib(records, SIZE)
    before = networks_that_fit(free_mib, records, SIZE, on_gpu=True)
    learnt = MemoryLessons().after_batch(asked=before, trained=before // 2)
    after = learnt.networks(free_mib, records, SIZE, on_gpu=True)
    assert 0.35 * before < after < 0.65 * before


def test_a_batch_that_ran_as_asked_teaches_nothing():
    assert MemoryLessons().after_batch(asked=10, trained=10) == MemoryLessons()


def test_lessons_add_up_and_end_somewhere():
    lessons = MemoryLessons().after_oom().after_batch(asked=30, trained=10)
    assert lessons.factor == 6
    for _ in range(20):
        lessons = lessons.after_oom()
    assert lessons.factor == LARGEST_FACTOR
