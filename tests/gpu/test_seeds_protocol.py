"""What is asked about seeds comes over the wire to the last bit, or is refused."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from gpu.host.units import answers, check_work, work_family
from gpu.protocol import FailureKind, PredictDone, TrainFailed, decode_command, decode_reply, encode
from gpu.protocol.seeds import PartSifted, SiftDone, SiftSeeds

LARGEST = (1 << 64) - 1


def make_job(**changes):
    plain = {
        "id": "a", "kernel": "java", "word": 32, "first": 0, "size": 10, "part": 4,
        "constants": (0x5DEECE66D,), "moves": ((LARGEST, 1 << 63), (3, 4)), "shift": 1,
        "tests": ((0, LARGEST, 3, 5), (1, 2, 3, 4)), "looks": 1, "floor": 1, "total_floor": 2,
        "keep": 64,
    }  # fmt: skip
    return SiftSeeds(**{**plain, **changes})


def make_done(**changes):
    part = {"passed": 5, "survivors": 2, "seeds": (LARGEST, 0), "matched": (9, 7), **changes}
    return SiftDone(id="a", parts=(PartSifted(**part),), duration_s=0.5, device="cpu")


def test_words_of_64_bits_come_as_they_were_sent():
    job = make_job(first=LARGEST - 9)
    assert decode_command(encode(job)) == job
    assert decode_reply(encode(make_done())) == make_done()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"first": -1}, "first"),
        ({"first": 1 << 64}, "first"),
        ({"first": LARGEST}, "below 2\\^64"),
        ({"size": 0}, "size"),
        ({"part": 0}, "part"),
        ({"kernel": "randu"}, "kernel"),
        ({"word": 16}, "word"),
        ({"constants": (1 << 64,)}, "constants"),
        ({"moves": ((1, 1),)}, "1 moves, but 2 tests"),
        ({"moves": (), "tests": ()}, "moves"),
        ({"looks": 3}, "looks must be 1..2, got 3"),
        ({"shift": 64}, "shift"),
        ({"family": "xgboost"}, "family"),
        ({"hurry": True}, "hurry"),
    ],
)
def test_what_cannot_be_asked_is_refused(changes, told):
    with pytest.raises(ValidationError, match=told):
        make_job(**changes)


@pytest.mark.parametrize("changes", [{"passed": -1}, {"seeds": (1 << 64,)}, {"matched": (128,)}])
def test_what_cannot_be_answered_is_refused(changes):
    with pytest.raises(ValidationError):
        make_done(**changes)


def test_a_pool_takes_it_as_work_of_the_family_that_has_torch():
    job = make_job()
    check_work(job)
    assert work_family(job) == "neural_net"


def test_it_is_answered_by_its_own_reply_or_a_failure():
    job = make_job()
    kind: FailureKind = "oom"
    assert answers(make_done(), job)
    assert answers(TrainFailed(kind=kind, message="", id="a"), job)
    assert not answers(PredictDone(id="a", n_rows=1), job)
