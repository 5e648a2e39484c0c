"""States that follow each other, and last draws that none explains."""

from __future__ import annotations

import dataclasses
import re

import pytest

from steps.forensics.documents import PREDICTION_FILE, Prediction
from steps.step1_window.split import train_count
from steps.step3_scoring.run import run as score
from steps.step6_prediction.run import run
from steps.step6_prediction.wording import seed_sentence, seed_words
from tests.steps.forensics.made_workspace import (
    found,
    lay_out,
    made_history,
    power,
    request_for,
    search,
)

ROWS = (power("java", "next_int", "algebra", 0.1, enough=True, wanted=26, gap=20),)
MADE = (search("java", "next_int", "algebra", corruption=0.1, largest_gap=20),)
SCRAMBLE = 0x5DEECE66D, (1 << 48) - 1


def examined(folder, history, states, train):
    lay_out(folder, history, states, train=train, proven=states, power=ROWS, searches=MADE)
    score(request_for(folder, 3, table_rows=0))
    result = run(request_for(folder, 6))
    return result, Prediction.model_validate_json((folder / PREDICTION_FILE).read_bytes())


def reseeded(count, every, train):
    """A machine seeded anew every so often, and its states as Step 1 finds them in train."""
    history, truth = made_history(count=count, reseed_every=every)
    states = []
    for part, seed in enumerate(truth.seeds[0]):
        first, stop = part * every, min((part + 1) * every, train)
        if first >= train:
            break
        state = ((seed ^ SCRAMBLE[0]) & SCRAMBLE[1],)
        sure = found(stop - first, None, seeding=None, offset=None, state=state, origin="algebra")
        states.append(sure.model_copy(update={"first": first, "stop": stop}))
    return history, states


def test_all_states_of_a_machine_that_was_seeded_anew_are_summed_up(tmp_path):
    history, states = reseeded(600, 100, 480)
    assert len(states) == 5
    result, said = examined(tmp_path, history, states, 480)
    assert said.verdict == "seed found"
    assert said.headline == (
        "Seed found, and no next draw is foretold: 5 states of java through next_int, in stretches "
        "of 100 draws, explain 480 of the 480 draws learnt from, but not the last 100 draws, 500 "
        "to 599, on record."
    )
    # The newest of the states, which went on into the draws held back.
    assert (said.source.first, said.source.stop) == (400, 500)
    held = next(test for test in said.tests if test.name == "draws held back")
    assert held.statistic == 20
    text = " ".join(said.explanation)
    assert "0 to 99 (100 of 100), 100 to 199 (100 of 100)" in text
    assert "Beyond chance, too" not in text
    assert "look up" not in " ".join(result.what_next)


@pytest.mark.parametrize(("count", "share"), [(600, "0.12"), (570, "0.07")])
def test_the_share_held_back_that_is_advised_lets_step_1_search_the_newest_stretch(
    tmp_path, count, share
):
    train = count * 4 // 5
    history, states = reseeded(count, 100, train)
    result, _ = examined(tmp_path, history, states, train)
    advised = re.search(r"\"holdout_fraction\": ([0-9.]+)}", result.what_next[0]).group(1)
    assert advised == share
    # As many draws of the stretch from 500 on as a search wants, and not many more.
    assert 526 <= train_count(history, float(advised)) < 526 + 0.011 * count


def test_where_no_share_would_do_more_draws_are_asked_for(tmp_path):
    history, states = reseeded(530, 100, 424)
    result, _ = examined(tmp_path, history, states, 424)
    assert "wants about 26 of its draws" in result.what_next[0]
    assert "holdout_fraction to 0.05" in result.what_next[0]


def test_two_wrong_draws_at_the_end_are_told_as_seen_and_emptied_they_are_no_end(tmp_path):
    history, truth = made_history(count=300)
    wrong = history.draws.copy()
    wrong[298:] = (wrong[298:] + 1) % 1000
    for name, last in (("wrong", wrong[298:]), ("emptied", -1)):
        draws = wrong.copy()
        draws[298:] = last
        folder = tmp_path / name
        folder.mkdir()
        one = dataclasses.replace(history, draws=draws)
        result, said = examined(folder, one, [found(240)], 240)
        if name == "wrong":
            assert said.next_draws == ()
            assert "but not the last 2 draws, 298 to 299, on record" in said.headline
            assert "no longer" not in said.headline
            text = " ".join(said.explanation)
            assert "Wrong records, a machine that was seeded anew and another machine" in text
            assert "look up the last 2 draws, 298 to 299," in result.what_next[0]
            assert "empty the cells of wrong ones" in result.what_next[0]
        else:
            assert said.next_draws == truth.next_draws


def test_the_factor_that_was_paid_is_explained_beside_the_number_of_hypotheses(tmp_path):
    history, _ = made_history(count=100)
    _, said = examined(tmp_path, history, [found(80)], 80)
    [line] = [line for line in said.explanation if "hypotheses were tried in all" in line]
    assert "times the number of searches" in line


def test_an_equivalent_seed_is_not_told_as_the_one_that_was_set():
    set_so, equivalent = found(80), found(80, seed_known=False)
    assert seed_sentence(set_so) == (
        "It was begun with the seed 31337 (scramble), right before draw 0."
    )
    later = {"first": 400, "stop": 480, "offset": None}
    for calls, place in ((0, "right before draw 400"), (3, "3 calls before draw 400")):
        reseeded = set_so.model_copy(update={**later, "seed_calls": calls})
        assert place in seed_sentence(reseeded)
    assert seed_words(set_so) == " from the seed 31337"
    assert "an equivalent seed. With what the machine was seeded" in seed_sentence(equivalent)
    assert "begun" not in seed_sentence(equivalent)
    assert seed_words(equivalent) == " from the equivalent seed 31337"
    part = found(80, None, seeding=None, offset=None, state=(5,), seen_bits=18)
    assert "is 5 (its lowest 18 bits; the others do not show" in seed_sentence(part)
