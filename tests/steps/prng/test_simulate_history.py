from __future__ import annotations

import json
import os

import numpy as np
import pytest
from pydantic import ValidationError

from steps.prng import GENERATORS, MAPPINGS, Law
from steps.prng.simulate_history import (
    PseudoMachine,
    Scenario,
    TrueMachine,
    Truth,
    simulate_history,
    true_draws,
)

JAVA = PseudoMachine(
    generator="java", mapping="next_int", seeding="scramble", seed=42, gap=3, offset=5
)
TWISTER = PseudoMachine(generator="mt19937", mapping="mod", seeding="init_genrand", seed=7)


def simulated(rng=1, **settings):
    settings = {"count": 400, "machines": (JAVA,)} | settings
    return simulate_history(Scenario(**settings), np.random.default_rng(rng))


def stream(machine, count, modulus=1000, seed=None):
    generator = GENERATORS[machine.generator]
    of = Law(generator, MAPPINGS[machine.mapping], modulus, machine.gap, machine.offset)
    seeds = np.array([machine.seed if seed is None else seed], np.uint64)
    return of.draws(generator.seed(seeds, machine.seeding), count)[0].tolist()


def drawn(history):
    return [record["draw"] for record in history.records]


def test_a_clean_history_is_the_machines_stream_and_the_truth_goes_on():
    history = simulated()
    expected = stream(JAVA, 410)
    assert drawn(history) == expected[:400]
    assert history.truth.next_draws == tuple(expected[400:])
    assert history.truth.seeds == ((42,),)
    assert (history.truth.missing, history.truth.corrupted) == ((), ())
    assert history.truth.draws_made == 400


def test_records_stand_in_order_of_date_and_session():
    records = simulated(count=3).records
    assert [(record["date"], record["session"]) for record in records] == [
        ("2015-01-01", "midday"),
        ("2015-01-01", "evening"),
        ("2015-01-02", "midday"),
    ]


def test_corrupted_records_are_the_ones_that_differ():
    history = simulated(corruption_rate=0.2, modulus=10)
    expected = stream(JAVA, 400, modulus=10)
    differing = [i for i, draw in enumerate(drawn(history)) if draw != expected[i]]
    assert history.truth.corrupted == tuple(differing)
    assert 50 < len(differing) < 110
    assert all(0 <= draw < 10 for draw in drawn(history))


def test_missing_draws_were_made_and_leave_their_day_empty():
    history = simulated(missing_rate=0.3)
    truth = history.truth
    made = stream(JAVA, truth.draws_made + 10)
    missing = set(truth.missing)
    assert len(history.records) == 400
    assert truth.draws_made == 400 + len(missing)
    assert 110 < len(missing) < 240
    kept = [number for number in range(truth.draws_made) if number not in missing]
    assert drawn(history) == [made[number] for number in kept]
    assert truth.next_draws == tuple(made[truth.draws_made :])
    seen = {(record["date"], record["session"]) for record in history.records}
    assert len(seen) == 400
    days = np.array([record["date"] for record in history.records], "datetime64[D]")
    assert (days - days[0]).astype(int).tolist() == [number // 2 - kept[0] // 2 for number in kept]


def test_a_machine_is_seeded_anew_after_so_many_draws():
    history = simulated(reseed_every=150)
    (seeds,) = history.truth.seeds
    assert seeds[0] == 42
    assert len(seeds) == len(set(seeds)) == 3
    segments = [stream(JAVA, 150, seed=seed) for seed in seeds]
    made = [draw for segment in segments for draw in segment]
    assert drawn(history) + list(history.truth.next_draws) == made[:410]


@pytest.mark.parametrize("mixing", ["random", "sessions"])
def test_each_of_two_machines_goes_on_where_it_stopped(mixing):
    history = simulated(machines=(JAVA, TWISTER), mixing=mixing, second_share=0.25)
    of = history.truth.machine_of
    for number, machine in enumerate((JAVA, TWISTER)):
        mine = [draw for draw, by in zip(drawn(history), of, strict=True) if by == number]
        assert mine == stream(machine, len(mine))
    if mixing == "sessions":
        assert of == (0, 1) * 200
    else:
        assert 60 < sum(of) < 140
    assert history.truth.seeds == ((42,), (7,))


def test_a_machine_may_begin_from_a_state():
    generator = GENERATORS["java"]
    state = generator.jump(generator.seed(np.array([42], np.uint64), "scramble"), 1000)
    machine = PseudoMachine(
        generator="java", mapping="mod", seeding="scramble", state=tuple(state[0].tolist())
    )
    history = simulated(machines=(machine,), reseed_every=300)
    made = Law(generator, MAPPINGS["mod"], 1000).draws(state, 300)[0].tolist()
    assert drawn(history)[:300] == made
    assert len(history.truth.seeds[0]) == 1


def test_true_machines_read_the_bytes_they_are_given():
    scenario = Scenario(modulus=10, count=5, machines=(TrueMachine(),), next_count=0)
    numbers = iter([21, 2**64 - 1, 33, 40, 2**64 - 6, 59, 67, 78])

    def entropy(size):
        return b"".join(next(numbers).to_bytes(8, "little") for _ in range(size // 8))

    history = simulate_history(scenario, np.random.default_rng(0), entropy)
    # 2^64 mod 10 is 6: the last six values would have favoured 0 to 5.
    assert drawn(history) == [1, 3, 0, 9, 7]
    assert history.truth.seeds == ((),)


def test_true_draws_cover_the_range_evenly_and_never_repeat():
    draws = true_draws(50_000, 100, os.urandom)
    counts = np.bincount(draws, minlength=100)
    # 500 each; seven standard deviations are 156.
    assert counts.size == 100
    assert np.abs(counts - 500).max() < 156
    assert not np.array_equal(draws, true_draws(50_000, 100))


def test_the_same_noise_makes_the_same_history():
    settings = {
        "corruption_rate": 0.1,
        "missing_rate": 0.1,
        "reseed_every": 50,
        "machines": (JAVA, TWISTER),
    }
    assert simulated(rng=3, **settings) == simulated(rng=3, **settings)
    assert simulated(rng=3, **settings) != simulated(rng=4, **settings)


def test_a_history_and_its_truth_survive_json():
    history = simulated(machines=(JAVA, TrueMachine()), missing_rate=0.1, corruption_rate=0.1)
    assert Truth.model_validate_json(history.truth.model_dump_json()) == history.truth
    assert json.loads(json.dumps(history.records)) == history.records


@pytest.mark.parametrize("modulus", [10, 100, 10_000])
@pytest.mark.parametrize("mapping", sorted(MAPPINGS))
def test_every_mapping_makes_histories_of_other_games(mapping, modulus):
    machine = JAVA.model_copy(update={"mapping": mapping})
    history = simulated(machines=(machine,), modulus=modulus, count=300)
    assert drawn(history) == stream(machine, 300, modulus)
    assert max(drawn(history)) >= modulus * 0.9


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({"machines": ()}, "at least 1 item"),
        ({"missing_rate": 0.6}, "less than or equal to 0.5"),
        ({"modulus": 1}, "greater than or equal to 2"),
        ({"colour": "red"}, "Extra inputs are not permitted"),
        (
            {"machines": (JAVA.model_copy(update={"mapping": "digits_mod"}),), "modulus": 500},
            "power of ten",
        ),
        (
            {"machines": (JAVA, TWISTER), "mixing": "sessions", "sessions": ("evening",)},
            "want a session each",
        ),
    ],
)
def test_a_scenario_that_cannot_be_is_refused(settings, wanted):
    with pytest.raises(ValidationError, match=wanted):
        simulated(**settings)


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"generator": "jave"}, "did you mean 'java'"),
        ({"seeding": "init_genrand"}, "seeding must be one of scramble, raw"),
        ({"seed": None}, "a seed or a state, one of the two"),
        ({"state": (1,)}, "a seed or a state, one of the two"),
        ({"seed": None, "state": (1, 2)}, r"states must be uint64 \(n, 1\)"),
        ({"seed": 1 << 64}, "less than"),
    ],
)
def test_a_machine_that_cannot_be_is_refused(changes, wanted):
    with pytest.raises(ValidationError, match=wanted):
        PseudoMachine.model_validate(JAVA.model_dump() | changes)
