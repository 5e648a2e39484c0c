"""The range of a game's draws, set by people or worked out from what was drawn."""

from __future__ import annotations

import json

import numpy as np
import pytest

from steps.errors import StepRefused
from steps.forensics.intake import IntakeOptions, read_history


@pytest.fixture
def read(tmp_path):
    def reading(draws, **options):
        path = tmp_path / "h.json"
        path.write_text(json.dumps([{"draw": draw} for draw in draws]))
        return read_history(path, IntakeOptions(**options))

    return reading


def uniform(low, high, count, seed=1):
    return np.random.default_rng(seed).integers(low, high + 1, count).tolist()


def found(history):
    return history.facts.low, history.facts.low + history.facts.modulus - 1


@pytest.mark.parametrize(
    ("draws", "expected"),
    [
        (uniform(0, 9, 200), (0, 9)),
        (uniform(0, 99, 300), (0, 99)),
        (uniform(0, 999, 600), (0, 999)),
        (uniform(0, 9999, 600), (0, 9999)),
        # 0 may not have been drawn yet, though 1 was, or neither.
        ([1, 5, 998, 400], (0, 999)),
        ([12, 500, 985], (0, 999)),
        (uniform(1, 26, 500), (1, 26)),
        (uniform(1, 69, 500), (1, 69)),
        (uniform(1, 1000, 9000), (1, 1000)),
        # 90 % of 100, but three thousand draws would have shown 91 to 99.
        (uniform(1, 90, 3000), (1, 90)),
        (uniform(0, 94, 3000), (0, 94)),
        (uniform(0, 36, 500), (0, 36)),
        (uniform(20, 40, 500), (20, 40)),
        # No 1 among few draws of 1..26.
        ([2, 26, 8, 11, 17], (1, 26)),
    ],
)
def test_the_range_is_the_one_that_the_draws_make_plausible(read, draws, expected):
    history = read(draws)
    assert found(history) == expected
    [note] = [note for note in history.facts.notes if note.code == "assumed_range"]
    assert f"{expected[0]} to {expected[1]}, {history.facts.modulus} values" in note.message
    assert "set draw_min and draw_max" in note.message


@pytest.mark.parametrize("modulus", [10, 100, 1000, 10_000])
def test_a_power_of_ten_is_told_from_a_few_hundred_draws_whatever_the_seed(read, modulus):
    wrong = [s for s in range(25) if found(read(uniform(0, modulus - 1, 300, s)))[1] != modulus - 1]
    assert wrong == []


def test_few_draws_are_a_doubtful_ground_for_a_range(read):
    def level(history):
        return next(n.level for n in history.facts.notes if n.code == "assumed_range")

    assert level(read(uniform(0, 999, 300))) == "warning"
    assert level(read(uniform(0, 9, 300))) == "info"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"draw_min": 0, "draw_max": 999}, (0, 999)),
        ({"draw_max": 999}, (0, 999)),
        ({"draw_max": 69}, (1, 69)),
        ({"draw_min": 1}, (1, 60)),
        ({"draw_min": -5}, (-5, 60)),
    ],
)
def test_what_people_set_holds(read, options, expected):
    history = read([5, 60, 30] * 20, **options)
    assert found(history) == expected
    assert history.draws[:3].tolist() == [5 - expected[0], 60 - expected[0], 30 - expected[0]]
    codes = {note.code for note in history.facts.notes}
    assert ("assumed_range" in codes) == (len(options) == 1)


def test_a_game_that_is_said_to_begin_at_0_ends_at_a_power_of_ten(read):
    assert found(read([400, 950, 600], draw_min=0)) == (0, 999)


@pytest.mark.parametrize(
    ("draws", "options", "wanted"),
    [
        ([1, 70, 80], {"draw_max": 69}, "row 2: a draw must be any to 69 .* got 70; .* rows 2, 3"),
        ([1, 0], {"draw_min": 1, "draw_max": 9}, r"row 2: a draw must be 1 to 9 .* got 0$"),
        ([1, -1, 3], {}, "row 2: draws begin at 0 or 1 unless draw_min says otherwise, got -1"),
        ([4, 4], {"draw_min": 4}, r"must have 2 to 1,000,000 values, got 1 \(4 to 4\)"),
        ([0, 5_000_000], {}, "must have 2 to 1,000,000 values, got 5,000,001"),
        ([1], {"draw_min": 9, "draw_max": 9}, "draw_min must be less than draw_max"),
    ],
)
def test_draws_outside_the_range_are_refused_by_row(read, draws, options, wanted):
    with pytest.raises(StepRefused, match=wanted):
        read(draws, **options)


def with_slips(draws, slips):
    return [slips.get(row, draw) for row, draw in enumerate(draws, 1)]


@pytest.mark.parametrize(
    ("draws", "wanted"),
    [
        (
            with_slips(uniform(0, 999, 300), {17: 9999}),
            "row 17: 9999 is so far above the other 299 draws, 99. the next of them, .* less than "
            "once in a million times; .* set draw_max to 9999 if the game goes so far",
        ),
        (
            with_slips(uniform(0, 99, 300), {40: 1000, 200: 7777}),
            "rows 40, 200: 1000 is so far above the other 298 draws.* set draw_max to 7777",
        ),
        (
            with_slips(uniform(5000, 5999, 300), {3: 7}),
            "row 3: 7 is so far below the other 299 draws, 500. the next of them.* draw_min to 7",
        ),
    ],
)
def test_a_range_does_not_rest_on_one_slip_of_the_pen(read, draws, wanted):
    with pytest.raises(StepRefused, match=wanted):
        read(draws)


def test_what_people_set_makes_a_far_draw_good(read):
    draws = with_slips(uniform(0, 999, 300), {17: 9999})
    assert found(read(draws, draw_max=9999)) == (0, 9999)


@pytest.mark.parametrize("modulus", [2, 10, 69, 1000, 10_000])
@pytest.mark.parametrize("count", [5, 30, 300])
def test_uniform_draws_are_never_taken_for_slips(read, modulus, count):
    for seed in range(20):
        draws = uniform(0, modulus - 1, count, seed)
        if len(set(draws)) > 1:
            assert read(draws).draws.size == count
