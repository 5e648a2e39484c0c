"""A worker's sieve answers as the one here does, however its work is cut up."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from gpu.protocol import TrainFailed, decode_reply, encode
from gpu.protocol.seeds import SiftDone
from gpu.worker.failures import BadJob
from gpu.worker.seeds import sieve as module
from gpu.worker.seeds.sieve import Question, SeedSieve
from gpu.worker.serve import serve
from steps.prng.recovery.sifting import sift_here

COUNT = 20_000


class Torch:
    """What of a trainer the worker's loop needs to sift seeds."""

    family, device_name = "neural_net", "cpu"


def plain(parts):
    """As Sifted and PartSifted have it alike."""
    return [(p.passed, p.survivors, list(p.seeds), list(p.matched)) for p in parts]


@pytest.fixture(scope="module")
def sifting(asked, easy):
    made = asked("pcg32", "default_stream", "mod", 10, seeds=range(COUNT), made_by=12_345)
    return easy(made, looks=2, part=7_000)


@pytest.fixture
def short_of_memory(monkeypatch):
    """Memory for the matches of so many seeds at once; the sizes that were tried."""
    tried = []

    def allow(most):
        real = Question.matches

        def matches(self, seeds):
            tried.append(seeds.shape[0])
            if seeds.shape[0] > most:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return real(self, seeds)

        monkeypatch.setattr(Question, "matches", matches)
        return tried

    return allow


@pytest.mark.parametrize("most", [1 << 16, 7_000, 1024, 999])
def test_parts_and_chunks_do_not_change_the_answer(sifting, job, most):
    wanted = plain(sift_here(sifting))
    assert plain(SeedSieve("cpu", most).sift(job(sifting))) == wanted
    assert [passed for passed, *_ in wanted] == pytest.approx([1330, 1330, 1140], rel=0.1)
    assert len(wanted[1][2]) == wanted[1][1] > 1000


@pytest.mark.parametrize("most", [1 << 16, 1500])
def test_of_many_survivors_the_best_are_kept_and_all_are_counted(sifting, job, most):
    few = replace(sifting, keep=3)
    parts = SeedSieve("cpu", most).sift(job(few))
    assert plain(parts) == plain(sift_here(few))
    # The true one, and with fewer matches the first of the others.
    assert parts[1].seeds[0] == 12_345
    assert parts[1].survivors > 1000
    assert parts[1].matched[0] > parts[1].matched[1] >= parts[1].matched[2]


def test_the_plan_of_a_search_leaves_the_true_seed_alone(asked, job):
    sifting = replace(asked("java", "scramble", seeds=range(COUNT), made_by=777), part=8192)
    parts = SeedSieve("cpu").sift(job(sifting))
    assert plain(parts) == plain(sift_here(sifting))
    assert [part.seeds for part in parts] == [(777,), (), ()]


def test_seeds_on_both_sides_of_the_sign_and_the_last_one_are_sifted(asked, easy, job):
    for first in ((1 << 63) - 500, (1 << 64) - 1000):
        seeds = range(first, first + 1000)
        sifting = easy(asked("splitmix64", "raw", "mod", 10, seeds=seeds, made_by=first + 999))
        parts = SeedSieve("cpu", 300).sift(job(sifting))
        assert plain(parts) == plain(sift_here(sifting))
        assert parts[0].seeds[0] == first + 999


def test_out_of_memory_halves_the_chunk_and_is_remembered(sifting, job, short_of_memory):
    wanted = plain(sift_here(sifting))
    tried = short_of_memory(2000)
    sieve = SeedSieve("cpu", 7000)
    assert plain(sieve.sift(job(sifting))) == wanted
    assert tried[:3] == [7000, 3500, 1750]
    assert sieve.most == max(tried[3:]) == 1750


def test_no_memory_for_the_smallest_chunk_is_a_failure(sifting, job, short_of_memory):
    short_of_memory(500)
    with pytest.raises(torch.OutOfMemoryError):
        SeedSieve("cpu", 7000).sift(job(sifting))


def test_another_failure_is_not_taken_for_want_of_memory(sifting, job, monkeypatch):
    def broken(self, seeds):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(Question, "matches", broken)
    with pytest.raises(RuntimeError, match="illegal"):
        SeedSieve("cpu").sift(job(sifting))


def test_a_gpu_is_given_what_it_has_memory_for(monkeypatch):
    def free(mib):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (mib << 20, 80 << 30))
        return SeedSieve("cuda:0").room(20)

    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 0)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 0)
    assert free(70_000) == module._MOST_ON_GPU
    assert module._FEWEST < free(100) < free(200) < module._MOST_ON_GPU
    assert free(0) == module._FEWEST


def test_constants_that_are_another_kernel_s_are_a_bad_job(sifting, job):
    with pytest.raises(BadJob, match="pcg32 takes 1 constants, got 2"):
        SeedSieve("cpu").sift(job(sifting).model_copy(update={"constants": (1, 2)}))


def answers(commands, family="neural_net"):
    """What a worker with torch, or one of another family, replies to these commands."""
    lines = []
    serve(
        io.BytesIO(b"".join(encode(command) for command in commands)),
        lambda message: lines.append(decode_reply(encode(message))),
        family,
        Torch(),
        1,
        once=False,
    )
    return lines


def test_a_worker_answers_jobs_good_and_bad_and_goes_on(sifting, job):
    good = job(sifting)
    bad = good.model_copy(update={"id": "bad", "constants": ()})
    failed, done = answers([bad, good])
    assert (failed.id, failed.kind) == ("bad", "bad_job")
    assert isinstance(done, SiftDone)
    assert (done.id, done.device) == ("sift", "cpu")
    assert plain(done.parts) == plain(sift_here(sifting))


def test_a_worker_without_torch_refuses(sifting, job):
    (failed,) = answers([job(sifting)], family="xgboost")
    assert isinstance(failed, TrainFailed)
    assert failed.kind == "bad_job"
    assert "serves xgboost" in failed.message


def test_out_of_memory_is_told_as_that(sifting, job, short_of_memory, monkeypatch):
    short_of_memory(0)
    monkeypatch.setattr(module, "_FEWEST", 1 << 20)
    (failed,) = answers([job(sifting)])
    assert (failed.id, failed.kind) == ("sift", "oom")


def test_a_reply_is_small_whatever_survives(sifting, job):
    few = replace(sifting, keep=64)
    (done,) = answers([job(few)])
    assert len(encode(done)) < 20_000
    assert json.loads(encode(done))["parts"][0]["seeds"][:3] == [
        int(seed) for seed in np.array(sift_here(few)[0].seeds[:3])
    ]
