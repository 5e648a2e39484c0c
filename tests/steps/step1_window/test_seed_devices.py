"""Seeds go to GPUs where people want and allow it; a search is never lost over that."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from gpu.host.devices import Detection, Device
from gpu.host.leases import LeaseQueue
from steps.contract import StepRequest
from steps.prng import GENERATORS, MAPPINGS, Law
from steps.prng.recovery import brute_force
from steps.prng.recovery.sifting import SifterFailed
from steps.step1_window import seed_devices as module
from steps.step1_window.answers import AnswerStore
from steps.step1_window.ask import Asker
from steps.step1_window.leased_sifter import GpusTaken
from steps.step1_window.planned import Planned
from steps.step1_window.seed_devices import SeedDevices, seed_devices

GPUS = tuple(Device("cuda", f"GPU-{i}", i, f"GPU {i}", 80_000, 70_000) for i in range(2))
ON_CPU = (sys.executable, str(Path(__file__).parent / "worker_on_cpu.py"))
SEED = 5_000_000


@pytest.fixture(autouse=True)
def gpus(monkeypatch):
    """Made-up GPUs, as many as the test says; each has room unless it is in `full`."""

    def there(count=1, full=()):
        found = Detection(GPUS[:count], ())
        monkeypatch.setattr(module, "detect", lambda environ: found)

        def crowded(device, need_mib):
            return f"{device.name} has no room" if device.uuid in full else None

        monkeypatch.setattr(module, "crowded", crowded)

    there()
    return there


@pytest.fixture
def devices(tmp_path):
    """Devices whose workers would be real; none starts before a sifting comes."""
    made = []

    def make(*policies, command=ON_CPU, worth_s=0.0):
        last = [(True, ())]

        def allowed():
            last[:] = [policies[min(len(asked), len(policies) - 1)]] if policies else last
            asked.append(last[0])
            return last[0]

        asked = []
        made.append(
            SeedDevices(allowed, worth_s=worth_s, command=command, lock_dir=tmp_path / "locks")
        )
        return made[-1]

    yield make
    for one in made:
        one.__exit__(None, None, None)


def messages(devices):
    return [note.message for note in devices.notes]


def test_a_gpu_is_used_and_said(devices):
    one = devices()
    assert one.sifter(10.0).at_once == 2
    assert messages(one) == ["long searches of seeds on GPU 0"]


def test_short_searches_and_those_for_the_cpu_ask_for_nothing(devices):
    one = devices(worth_s=2.0)
    assert one.sifter(1.9) is None
    assert SeedDevices(None).sifter(1e9) is None
    assert one.notes == []


def test_what_the_policy_does_not_allow_is_not_used(devices, gpus):
    gpus(2)
    one = devices((False, ()), (True, ("1",)), (True, ("gpu-0", "GPU-1")), (True, ()))
    assert one.sifter(10.0) is None
    assert messages(one) == ["training.use_gpus is false in the policy: seeds stay on the CPU"]
    # Changed while the step runs.
    assert one.sifter(10.0).at_once == 2
    assert one.sifter(10.0) is None
    assert one.sifter(10.0).at_once == 4
    assert "not used, by training.gpus_off in the policy: GPU 1" in messages(one)
    assert "no GPU can be used: seeds are searched on the CPU" in messages(one)


def test_a_full_gpu_is_left_out_and_said(devices, gpus):
    gpus(2, full=("GPU-0",))
    one = devices()
    assert one.sifter(10.0).at_once == 2
    assert "GPU 0 has no room; it is not used" in messages(one)


def test_no_gpu_means_the_cpu_with_a_note(devices, gpus):
    gpus(0)
    one = devices()
    assert one.sifter(10.0) is None
    assert [(note.level, note.code) for note in one.notes] == [("warning", "seed_search_device")]


def test_gpus_that_another_run_holds_are_asked_for_again(devices, tmp_path):
    other = LeaseQueue(GPUS[:1], tmp_path / "locks")
    one = devices()
    held = other.try_lease("another run")
    assert one.sifter(10.0) is None
    assert one.sifter(10.0) is None
    other.give_back(held)
    assert one.sifter(10.0) is not None
    assert sum("other runs hold every GPU" in message for message in messages(one)) == 1


def test_leases_that_cannot_be_written_mean_the_cpu_with_a_note(devices, tmp_path):
    (tmp_path / "locks").touch()
    one = devices()
    assert one.sifter(10.0) is None
    assert "no lock file can be made in" in messages(one)[-1]


def test_after_a_failure_it_is_the_cpu_for_good_but_not_after_a_lease_lost(devices):
    one = devices()
    one.failed(GpusTaken("other runs hold every GPU"))
    assert one.sifter(10.0) is not None
    one.failed(SifterFailed("a worker failed (oom): CUDA out of memory"))
    assert one.sifter(10.0) is None
    assert "a worker failed (oom)" in messages(one)[-1]
    assert one.notes[-1].level == "warning"


def request(tmp_path, text, policy=None):
    (tmp_path / "policy.json").write_text(text)
    return StepRequest(
        run_id="run",
        step=1,
        attempt=1,
        params={},
        inputs={},
        workspace=str(tmp_path),
        policy_path=str(tmp_path / "policy.json"),
        policy=policy,
        out_dir=str(tmp_path / "out"),
    )


def test_the_policy_file_is_read_anew_for_every_slice(tmp_path):
    asked = request(tmp_path, "{}")
    with seed_devices("gpu", asked) as one:
        assert one._allowed() == (True, ())
        (tmp_path / "policy.json").write_text('{"training": {"use_gpus": false}}')
        assert one._allowed() == (False, ())
        (tmp_path / "policy.json").write_text("{torn")
        assert one._allowed() == (False, ())


def test_a_policy_that_cannot_be_read_means_the_cpu_or_the_last_good_one(tmp_path):
    torn = seed_devices("gpu", request(tmp_path, "{torn"))
    assert torn.sifter(10.0) is None
    assert "what the policy allows is not known" in messages(torn)[0]
    good = {"training": {"gpus_off": ["3"]}}
    assert seed_devices("gpu", request(tmp_path, "{torn", good))._allowed() == (True, ("3",))


def test_without_the_parameter_no_policy_is_read(tmp_path):
    assert seed_devices("cpu", request(tmp_path, "{torn")).notes == []


@pytest.fixture
def asker(tmp_path):
    """(devices) -> an Asker about draws of pcg32 from SEED, with a store of its own."""
    law = Law(GENERATORS["pcg32"], MAPPINGS["mod"], 1000)
    seeded = law.generator.seed(np.array([SEED], np.uint64), "stream_54")
    draws = {"all": law.draws(seeded, 30)[0]}

    def make(*devices, name="search", should_stop=lambda: False):
        store = AnswerStore(tmp_path / name, 0.0)
        return Asker(draws, 1000, 1e-9, store, 1, should_stop, *devices)

    return make


def planned(**changes):
    plain = {
        "stream": "all", "first": 0, "stop": 30, "generator": "pcg32", "mapping": "mod",
        "method": "seeds", "gaps": range(1), "seeding": "stream_54", "seeds": range(6_000_000),
    }  # fmt: skip
    return Planned(**{**plain, **changes})


def timeless(answer):
    return answer.model_copy(update={"seconds": 0.0})


def test_a_real_worker_finds_what_is_found_here_and_goes_on_where_it_was_stopped(
    devices, asker, monkeypatch
):
    monkeypatch.setattr(brute_force, "_BLOCKS_AT_ONCE", 256)
    alone = asker(name="alone").ask(planned())
    assert (alone.best.seed, alone.seeds) == (SEED, 5 << 20)
    one = devices()
    assert timeless(asker(one).ask(planned())) == timeless(alone)
    # Two parts here, up to the stop; then the worker, which is still there.
    asked = iter([False] * 3)
    first = asker(name="two", should_stop=lambda: next(asked, True)).ask(planned())
    assert (first.complete, first.next_block) == (False, 512)
    rest = asker(one, name="two").ask(planned())
    assert timeless(rest) == timeless(alone)
    assert messages(one) == ["long searches of seeds on GPU 0"]


def test_a_worker_that_always_dies_loses_no_search(devices, asker, gpus):
    one = devices(command=("/bin/false",))
    answer = asker(one).ask(planned(seeds=range(SEED - 5, SEED + 5)))
    assert (answer.best.seed, answer.complete, answer.seeds) == (SEED, True, 10)
    assert "seeds are searched on the CPU from now on: a worker failed" in messages(one)[-1]
    assert "crashed" in messages(one)[-1]


def test_a_gpu_that_is_always_taken_at_the_last_moment_does_not_hold_the_search_up(asker):
    class Taken(SeedDevices):
        asked = 0

        def sifter(self, cpu_s):
            self.asked += 1
            return Loser()

    class Loser:
        at_once = 1

        def parts_at_once(self, lanes):
            return 1

        def submit(self, sifting):
            raise GpusTaken("other runs hold every GPU")

    taken = Taken(None)
    answer = asker(taken).ask(planned())
    assert (answer.best.seed, answer.complete) == (SEED, True)
    assert taken.asked == 1


def test_the_step_says_where_it_searched(search, simulated, machine, monkeypatch, gpus, tmp_path):
    gpus(0)
    monkeypatch.setattr(module, "WORTH_A_GPU_S", 0.0)
    records = simulated(machine("pcg32", "mod", "stream_54", 54_321), count=100)
    (tmp_path / "none").write_text(json.dumps({}))
    monkeypatch.chdir(tmp_path)
    few = {"generators": ["pcg32"], "mappings": ["mod"]}
    done = search(records, **few, seed_search_device="gpu")
    assert done.config.found[0].seed == 54_321
    assert done.result.notes[-1].message == "no GPU can be used: seeds are searched on the CPU"
    assert "seed_search_device" not in {note.code for note in search(records, **few).result.notes}
    assert os.environ.get("CUDA_VISIBLE_DEVICES") != "GPU-0"
