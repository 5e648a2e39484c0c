"""Simulated histories as files: what is asked in few words, written with its truth, kept safe."""

from __future__ import annotations

import io
import json

import pytest

from steps.files import sha256_file
from steps.forensics.intake import IntakeOptions, read_history
from steps.prng import GENERATORS
from steps.prng.simulate import TruthFile, main, scenario_words, simulate_file
from steps.prng.simulate_history import PseudoMachine, TrueMachine
from steps.prng.simulate_wish import WishError, read_wish

FEW_WORDS = {"generator": "java", "count": 50}


def entropy(size):
    return bytes([0xAB]) * size


def wish(**asked):
    return read_wish(FEW_WORDS | asked, entropy)


def truth_of(path):
    return TruthFile.model_validate_json(path.with_name(f"{path.name}.truth.json").read_bytes())


def test_what_is_left_out_is_the_generators_usual_way_and_a_secret_seed():
    made = wish()
    assert made.scenario.machines == (
        PseudoMachine(generator="java", mapping="next_int", seeding="scramble", seed=0xABABABAB),
    )
    assert made.secret
    assert made.noise_seed == 0xABABABABABABABAB
    [machine] = wish(generator="mt19937", mapping=None).scenario.machines
    assert (machine.mapping, machine.seeding) == ("mod", "init_genrand")


def test_every_generator_can_be_asked_for_by_its_name_alone():
    for name in GENERATORS:
        [machine] = wish(generator=name).scenario.machines
        assert machine.generator == name


def test_what_is_given_holds():
    made = wish(seed=42, mapping="mod", seeding="raw", gap=3, offset=7, noise_seed=5, modulus=100)
    [machine] = made.scenario.machines
    assert machine.model_dump(exclude={"kind", "generator", "state"}) == {
        "mapping": "mod", "seeding": "raw", "seed": 42, "gap": 3, "offset": 7
    }  # fmt: skip
    assert not made.secret
    assert (made.noise_seed, made.scenario.modulus) == (5, 100)
    [machine] = wish(state=[99]).scenario.machines
    assert (machine.seed, machine.state) == (None, (99,))
    [machine] = wish(seed_bits=48).scenario.machines
    assert machine.seed == 0xABABABABABAB


def test_true_randomness_and_two_machines_can_be_asked_for():
    assert wish(generator="true").scenario.machines == (TrueMachine(),)
    asked = {"machines": [{"generator": "pcg32"}, {"kind": "true"}], "count": 9}
    made = read_wish(asked, entropy)
    assert [machine.kind for machine in made.scenario.machines] == ["pseudo", "true"]
    again = read_wish(made.scenario.model_dump(mode="json"), entropy)
    assert again.scenario == made.scenario


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ({"generator": "jaav"}, "no generator 'jaav'; did you mean 'java'"),
        ({"mapping": "nextint"}, "no mapping 'nextint'; did you mean 'next_int'"),
        ({"seeding": "init_genrand"}, "^java: seeding must be one of scramble, raw"),
        ({"cuont": 3}, "no key 'cuont'; did you mean 'count'"),
        ({"generator": None}, "generator: wanted a name, got null"),
        ({"generator": "true", "seed": 4}, "true randomness takes no other key"),
        ({"seed_bits": 65}, "seed_bits: must be a whole number of 1 to 64, got 65"),
        ({"noise_seed": -1}, "noise_seed: must be a whole number of 0 to"),
        ({"noise_seed": True}, "noise_seed: must be a whole number of 0 to .* got true"),
        ({"seed": 1, "state": [1]}, "a seed or a state, one of the two"),
        ({"machines": [{"generator": "java"}]}, "machines and generator: give one of them"),
        ({"count": 0}, "count: Input should be greater than or equal to 1, got 0"),
        ({"mapping": "digits_mod", "modulus": 500}, "power of ten"),
        ({"count": "5"}, "count: Input should be a valid integer"),
        ({"count": 5.0}, "count: Input should be a valid integer"),
        ({"count": True}, "count: Input should be a valid integer"),
        ({"gap": 10**9}, "60 draws with gap 1000000000 and offset 0 of java are 60,000,000,060"),
        ({"generator": "sfc64", "offset": 10**12}, "1,000,000,000 is the most"),
        ({"sessions": ["a", "a"]}, "sessions: every name once, got a, a"),
        ({"generator": "xorshift32", "seed": 0}, "xorshift32: its state would never change"),
        ({"generator": "xorshift128", "state": [0] * 4}, "its state would never change"),
    ],
)
def test_what_cannot_be_made_is_refused_with_the_nearest_name(asked, wanted):
    with pytest.raises(WishError, match=wanted):
        wish(**asked)


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ({"count": 5}, "generator: name one of java, .* or true for true randomness"),
        ({"generator": "java"}, "count: Field required"),
        ({"machines": {}, "count": 5}, "machines: wanted a list"),
        ({"machines": [3], "count": 5}, "machines: wanted an object"),
        ({"machines": [{"generator": "java", "count": 3}], "count": 5}, "no key 'count'"),
        ({"machines": [], "count": 5}, "machines: Tuple should have at least 1 item"),
    ],
)
def test_what_is_lacking_is_named(asked, wanted):
    with pytest.raises(WishError, match=wanted):
        read_wish(asked, entropy)


@pytest.mark.parametrize("ending", ["json", "csv", "parquet"])
def test_a_history_reads_back_as_it_was_drawn_and_its_truth_makes_it_again(tmp_path, ending):
    path = tmp_path / f"h.{ending}"
    made = simulate_file(path, wish(corruption_rate=0.1, missing_rate=0.1, sessions=["früh", "x"]))
    history = read_history(path, IntakeOptions(draw_min=0, draw_max=999))
    assert history.facts.draws == 50
    assert history.facts.sessions == ("früh", "x")
    truth = truth_of(path)
    assert truth == made.truth
    assert (truth.history, truth.sha256) == (path.name, sha256_file(path))
    assert len(truth.corrupted) > 0
    asked = truth.scenario.model_dump(mode="json") | {"noise_seed": truth.noise_seed}
    again = simulate_file(tmp_path / f"again.{ending}", read_wish(asked, entropy))
    assert again.path.read_bytes() == path.read_bytes()


def test_the_answer_tells_what_was_made_and_no_seed(tmp_path, capsys):
    path = tmp_path / "h.json"
    assert main([str(path), "--scenario", json.dumps(FEW_WORDS | {"gap": 2}), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    seed = truth_of(path).seeds[0][0]
    assert str(seed) not in json.dumps(answer)
    assert answer["secret_seed"]
    assert answer["rows"] == 50
    assert answer["truth"] == f"{path}.truth.json"
    assert answer["made"] == "50 draws of 0 to 999 from java (next_int, gap 2)"
    assert main([str(path), "--scenario", json.dumps(FEW_WORDS)]) == 0
    assert f"{path}: 50 draws of 0 to 999 from java (next_int)" in capsys.readouterr().out
    assert truth_of(path).seeds[0][0] != seed


def test_a_scenario_is_told_in_words():
    machines = [{"generator": "pcg32", "offset": 4}, {"generator": "true"}]
    asked = {
        "machines": machines, "count": 5000, "second_share": 0.25, "reseed_every": 600,
        "corruption_rate": 0.02, "missing_rate": 0.01,
    }  # fmt: skip
    assert scenario_words(read_wish(asked, entropy).scenario) == (
        "5,000 draws of 0 to 999 from pcg32 (mod, offset 4) and true randomness, the second making "
        "25% of them at random, seeded anew every 600 draws, 2.0% of them replaced by wrong ones, "
        "1.0% of what was made missing"
    )
    by_session = read_wish({"machines": machines, "count": 9, "mixing": "sessions"}, entropy)
    assert scenario_words(by_session.scenario).endswith("true randomness, taking turns by session")


def test_a_scenario_may_come_from_a_file_or_from_standard_input(tmp_path, monkeypatch):
    (tmp_path / "scenario.json").write_text(json.dumps(FEW_WORDS))
    assert main([str(tmp_path / "a.json"), "--scenario", f"@{tmp_path}/scenario.json"]) == 0
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(FEW_WORDS)))
    assert main([str(tmp_path / "b.json"), "--scenario", "-"]) == 0
    assert truth_of(tmp_path / "b.json").scenario.count == 50


@pytest.mark.parametrize(
    ("name", "scenario", "wanted"),
    [
        ("h.txt", json.dumps(FEW_WORDS), "must end in .json, .csv, .parquet, got '.txt'"),
        ("h.truth.json", json.dumps(FEW_WORDS), "must not end in .truth.json"),
        ("h.json", "{", "--scenario: not valid JSON"),
        ("h.json", "[1]", "--scenario: must be an object"),
        ("h.json", '{"count": 1, "count": 2}', "key 'count' is given twice"),
        ("h.json", "@none.json", "no such file"),
    ],
)
def test_a_command_that_cannot_be_obeyed_exits_with_2_and_writes_nothing(
    tmp_path, capsys, name, scenario, wanted
):
    assert main([str(tmp_path / name), "--scenario", scenario, "--json"]) == 2
    captured = capsys.readouterr()
    assert wanted in captured.err
    answer = json.loads(captured.out)
    assert (answer["status"], answer["exit_code"]) == ("error", 2)
    assert wanted in answer["message"]
    assert list(tmp_path.iterdir()) == []


def test_a_disk_fault_exits_with_1(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main([str(tmp_path / "file" / "h.json"), "--scenario", json.dumps(FEW_WORDS)]) == 1
    assert "cannot be written" in capsys.readouterr().err


def test_only_a_simulated_history_that_nobody_changed_is_replaced(tmp_path):
    path = tmp_path / "h.json"
    simulate_file(path, wish())
    simulate_file(path, wish(seed=1))
    path.write_text(path.read_text() + "\n")
    before = path.read_bytes()
    with pytest.raises(WishError, match="exists and is no simulated history, or was"):
        simulate_file(path, wish())
    assert path.read_bytes() == before
    simulate_file(path, wish(seed=2), force=True)
    assert truth_of(path).seeds == ((2,),)


@pytest.mark.parametrize("taken", ["h.csv", "h.csv.truth.json"])
def test_a_file_of_somebody_elses_is_kept(tmp_path, taken):
    (tmp_path / taken).write_text("{}")
    with pytest.raises(WishError, match=f"{taken}: exists and is no"):
        simulate_file(tmp_path / "h.csv", wish())
    assert [each.name for each in tmp_path.iterdir()] == [taken]
    assert (tmp_path / taken).read_text() == "{}"


def test_a_folder_is_never_replaced(tmp_path):
    (tmp_path / "h.json").mkdir()
    with pytest.raises(WishError, match="must be a file, got a folder"):
        simulate_file(tmp_path / "h.json", wish(), force=True)
