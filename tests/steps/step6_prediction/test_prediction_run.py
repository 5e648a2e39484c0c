from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from steps.errors import StepRefused
from steps.forensics.documents import PREDICTION_FILE, SURVIVORS_FILE, Prediction
from steps.prng.simulate_history import PseudoMachine
from steps.step3_scoring.run import run as score
from steps.step6_prediction.guesses import GUESSES
from steps.step6_prediction.report import REPORT_FILE
from steps.step6_prediction.run import run
from steps.step6_prediction.settings import PredictionSettings
from tests.steps.forensics.made_workspace import (
    candidate,
    found,
    lay_out,
    made_history,
    power,
    request_for,
    search,
    true_history,
)

MANIFEST = json.loads(
    (Path(__file__).parents[3] / "agent_manifests" / "prediction.json").read_text()
)


def predict(folder, **params):
    score(request_for(folder, 3, table_rows=0))
    result = run(request_for(folder, 6, **params))
    return result, Prediction.model_validate_json((folder / PREDICTION_FILE).read_bytes())


def wrong_ones(count, **values):
    return [candidate(seed, **values) for seed in range(count)]


def test_the_manifest_declares_every_parameter_with_the_codes_default():
    declared = MANIFEST["parameter_bounds"]
    assert set(declared) == set(PredictionSettings.model_fields)
    for name, default in PredictionSettings().model_dump(mode="json").items():
        assert declared[name]["default"] == default, name


def test_a_seed_that_was_found_predicts_the_very_next_draws(tmp_path):
    history, truth = made_history(count=200)
    lay_out(tmp_path, history, [*wrong_ones(30), found(150)], train=150, proven=[found(150)])
    result, said = predict(tmp_path)
    assert (result.status, said.verdict) == ("complete", "seed found")
    assert said.next_draws == truth.next_draws
    assert said.candidates[0].draw == truth.next_draws[0]
    assert said.confidence == said.candidates[0].probability > 0.98
    assert said.source.seed == 31337
    assert (said.source.stop, said.source.matches) == (200, 200)
    assert "50 of 50 draws held back" in said.headline
    assert {name: len(set(pool)) for name, pool in said.pools.items()} == {
        "tight": 20,
        "balanced": 100,
        "wide": 300,
    }
    assert sum(c.probability for c in said.candidates) <= 1
    assert {test.name for test in said.tests} > {"draws held back", "tight pool", "log-loss"}
    assert all((test.p_corrected < 1e-6) == (test.name not in GUESSES) for test in said.tests)
    report = (tmp_path / REPORT_FILE).read_text()
    assert said.headline in report
    assert "What would have been caught" not in report


def test_a_state_in_mid_stream_is_told_where_no_seed_is_known(tmp_path):
    machine = PseudoMachine(
        generator="java", mapping="next_int", seeding="scramble", seed=31337, gap=2, offset=5
    )
    history, truth = made_history(machine, count=120)
    law = machine.law(1000)
    begun = law.generator.seed(np.array([31337], np.uint64), "scramble")
    [state] = law.states_before(begun, 20)[0].tolist()
    unseeded = {"seeding": None, "offset": None, "origin": "algebra"}
    sure = found(100, None, gap=2, state=(state,), first=20, compared=80, matches=80, **unseeded)
    lay_out(tmp_path, history, [sure], train=100, proven=[sure])
    _, said = predict(tmp_path)
    assert said.next_draws == truth.next_draws
    assert (said.source.first, said.source.stop) == (20, 120)
    assert any(f"state before draw 20 is {state}" in sentence for sentence in said.explanation)


def test_a_machine_that_was_seeded_anew_is_explained_and_not_predicted(tmp_path):
    history, _ = made_history(count=200, reseed_every=120)
    lay_out(tmp_path, history, [found(120)], train=160, proven=[found(120)])
    result, said = predict(tmp_path)
    assert (result.status, said.verdict) == ("complete", "seed found")
    assert said.headline == (
        "Seed found, and no next draw is foretold: java through next_int explains draws 0 to 119: "
        "120 of 120 match, but not the last 80 draws, 120 to 199, on record."
    )
    assert said.next_draws == ()
    assert said.candidates == ()
    assert (said.source.first, said.source.stop) == (0, 120)
    text = " ".join(said.explanation)
    assert "Wrong records, a machine that was seeded anew and another machine" in text
    assert "has taken its place" not in text


def test_a_machine_that_is_seeded_anew_every_so_often_is_trusted_less_when_it_is_due(tmp_path):
    confidence = {}
    for count in (240, 300):
        history, truth = made_history(count=count, reseed_every=100)
        sure = [found(100)]
        for part, seed in enumerate(truth.seeds[0][1:3], start=1):
            state = ((seed ^ 0x5DEECE66D) & ((1 << 48) - 1),)
            values = {"seeding": None, "offset": None, "state": state, "first": 100 * part}
            stop = min(100 * part + 100, 230)
            sure.append(found(100, None, **values).model_copy(update={"stop": stop}))
        folder = tmp_path / str(count)
        folder.mkdir()
        lay_out(folder, history, sure, train=230, proven=sure)
        _, said = predict(folder)
        confidence[count] = said.confidence
        assert any("lasted 100, 100 draws" in sentence for sentence in said.explanation)
        # The last part ends with the history: nobody can know the next seed.
        assert (said.next_draws == truth.next_draws) == (count == 240)
    assert confidence[240] > 0.9
    assert confidence[300] < 0.4


def test_draws_missing_among_those_held_back_do_not_end_a_source(tmp_path):
    history, truth = made_history(count=202)
    keep = np.delete(np.arange(202), [170, 190])
    held = type(history)(
        history.draws[keep],
        tuple(history.dates[:200]),
        tuple(history.sessions[:200]),
        history.facts.model_copy(update={"draws": 200}),
    )
    lay_out(tmp_path, held, [found(150)], train=150, proven=[found(150)])
    _, said = predict(tmp_path)
    assert said.next_draws == truth.next_draws
    assert said.source.missing == 2
    held_back = next(test for test in said.tests if test.name == "draws held back")
    assert held_back.statistic == 20


def test_wrong_draws_lower_the_confidence_and_no_more(tmp_path):
    history, truth = made_history(count=300, corruption_rate=0.2)
    wrong = len(set(truth.corrupted) & set(range(250)))
    sure = found(250, matches=250 - wrong, log_ratio=900.0)
    lay_out(tmp_path, history, [sure], train=250, proven=[sure])
    _, said = predict(tmp_path)
    assert said.next_draws == truth.next_draws
    assert 0.7 < said.confidence < 0.9


def test_what_train_alone_did_not_prove_all_draws_may(tmp_path):
    history, truth = made_history(count=40)
    lay_out(tmp_path, history, [*wrong_ones(20), candidate(31337)], train=30)
    _, said = predict(tmp_path)
    assert said.verdict == "seed found"
    assert said.next_draws == truth.next_draws
    assert said.confidence > 0.95
    held_back = next(test for test in said.tests if test.name == "draws held back")
    assert held_back.hypotheses == 21


def test_noise_is_no_better_than_chance_and_says_what_would_have_been_caught(tmp_path):
    history, _ = true_history(count=250)
    rows = (
        power("java", "next_int", "algebra", 0.0, enough=True, wanted=9),
        power("java", "next_int", "algebra", 0.25, enough=True, wanted=60),
        power("java", "next_int", "seeds", 0.25, enough=True, wanted=8),
        power("pcg32", "mod", "seeds", 0.0, enough=True, wanted=8),
        power("pcg32", "mod", "seeds", 0.25, enough=True, wanted=30),
        power("mt19937", "mod", "algebra", 0.0, enough=False, wanted=8000),
        power("sfc64", "mod", "seeds", 0.0, enough=True, wanted=8),
    )
    made = (
        search("java", "next_int", "algebra", corruption=0.25),
        search("pcg32", "mod", "seeds", seeds=1 << 20, best_score=-3.0),
        search("mt19937", "mod", "seeds", seeds=1 << 10),
        search("mt19937", "mod", "algebra", not_tried="too few draws: 8000", complete=False),
        search("sfc64", "mod", "seeds", not_tried="time was up", complete=False),
    )
    lay_out(tmp_path, history, wrong_ones(50), train=200, power=rows, searches=made)
    result, said = predict(tmp_path)
    assert (result.status, said.verdict) == ("no_signal", "no better than chance")
    assert said.candidates == ()
    assert said.pools == {}
    assert said.next_draws == ()
    assert said.hypotheses_tried == 4_000_000_000
    assert min(test.p_corrected for test in said.tests) > 0.01
    assert said.log_loss == pytest.approx(np.log(1000), abs=0.01)
    text = " ".join(said.explanation)
    assert "caught with up to 25% of the draws wrong, in any state, gap 0: java (next_int)." in text
    assert "caught, from one of 2^20 seeds, gap 0: pcg32 (mod)." in text
    assert "could not have been caught: mt19937 (mod)." in text
    assert "Not looked for in full: sfc64 (mod)." in text
    assert "2 searches more could not be made: too few draws (1); time was up (1)." in text
    assert "4,000,000,000" in text or "10^9.6" in text


def test_too_few_draws_are_no_verdict_on_the_machine(tmp_path):
    history, _ = true_history(count=8)
    rows = (
        power("java", "next_int", "algebra", 0.0, enough=False, wanted=11),
        power("pcg32", "mod", "seeds", 0.0, enough=False, wanted=9),
    )
    # What the search of one session wants is no number for the history.
    session = search("java", "mod", "seeds", stream="session noon", not_tried="few", draws_wanted=3)
    few = {"verdict": "insufficient data", "power": rows, "searches": (session,)}
    lay_out(tmp_path, history, [], train=6, **few)
    result, said = predict(tmp_path)
    assert (result.status, said.verdict) == ("no_signal", "insufficient data")
    assert said.draws_wanted == 12
    assert "About 12 draws in all would do for pcg32 mod" in said.headline
    assert "run steps 0 to 6 again with 12 draws or more" in result.what_next


def test_a_small_game_has_no_pool_larger_than_itself(tmp_path):
    machine = PseudoMachine(generator="java", mapping="next_int", seeding="scramble", seed=31337)
    history, truth = made_history(machine, count=200, modulus=37)
    sure = found(150, modulus=37, log_ratio=500.0)
    lay_out(tmp_path, history, [sure], train=150, proven=[sure])
    _, said = predict(tmp_path)
    assert said.next_draws == truth.next_draws
    assert {name: len(pool) for name, pool in said.pools.items()} == {
        "tight": 20,
        "balanced": 37,
        "wide": 37,
    }
    assert {test.name for test in said.tests} == {
        "tight pool",
        "log-loss",
        "draws held back",
        *GUESSES,
    }


def test_a_session_with_a_machine_of_its_own_is_predicted(tmp_path):
    machines = (
        PseudoMachine(generator="java", mapping="next_int", seeding="scramble", seed=31337),
        PseudoMachine(generator="java", mapping="next_int", seeding="scramble", seed=99),
    )
    history, truth = made_history(
        count=200, machines=machines, mixing="sessions", sessions=("noon", "night")
    )
    sure = found(80, 99, stream="session night")
    lay_out(tmp_path, history, [sure], train=160, proven=[sure])
    _, said = predict(tmp_path)
    assert said.stream == "session night"
    assert said.next_draws[:5] == truth.next_draws[1::2]
    assert "20 of 20 draws held back" in said.headline


def test_two_machines_that_take_turns_are_both_foretold(tmp_path):
    machines = tuple(
        PseudoMachine(generator="java", mapping="next_int", seeding="scramble", seed=seed)
        for seed in (31337, 99)
    )
    history, truth = made_history(
        count=200, machines=machines, mixing="sessions", sessions=("noon", "night")
    )
    both = [found(80, stream="session noon"), found(81, 99, stream="session night")]
    lay_out(tmp_path, history, both, train=160, proven=both)
    _, said = predict(tmp_path)
    (other,) = said.other_streams
    foretold = {said.stream: said.next_draws[:5], other.stream: other.next_draws[:5]}
    assert foretold == {
        "session noon": truth.next_draws[0::2],
        "session night": truth.next_draws[1::2],
    }
    assert other.confidence > 0.95
    for stream, draws in foretold.items():
        assert f"the next one of {stream} is {draws[0]}" in said.headline
        assert any(f"The next draw of {stream} is" in line for line in said.explanation)
        assert any(test.name == f"draws held back of {stream}" for test in said.tests)
        heading = (tmp_path / REPORT_FILE).read_text().split(f"## The next draws of {stream}\n\n")
        assert heading[1].startswith(", ".join(str(draw) for draw in draws))


def test_a_table_made_from_other_survivors_is_refused_with_both_hashes(tmp_path):
    history, _ = true_history(count=60)
    lay_out(tmp_path, history, wrong_ones(3), train=50)
    score(request_for(tmp_path, 3))
    lay_out(tmp_path, history, wrong_ones(4), train=50)
    with pytest.raises(StepRefused, match=rf"{SURVIVORS_FILE} with SHA-256 \w{{64}}, .* \w{{64}}"):
        run(request_for(tmp_path, 6))


def test_a_step_that_is_asked_to_stop_writes_nothing(tmp_path, monkeypatch):
    history, _ = true_history(count=60)
    lay_out(tmp_path, history, wrong_ones(3), train=50)
    score(request_for(tmp_path, 3))
    monkeypatch.setattr("steps.step6_prediction.run.stop_requested", lambda: True)
    assert run(request_for(tmp_path, 6)).status == "halted"
    assert not (tmp_path / PREDICTION_FILE).exists()
