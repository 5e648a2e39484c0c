from __future__ import annotations

import pytest

from steps.forensics.documents import WINDOW_FILE, WindowConfig, read_document
from steps.step6_prediction.power_wording import draws_wanted, in_all, power_sentences
from tests.steps.forensics.made_workspace import lay_out, power, search, true_history


@pytest.fixture
def window_with(tmp_path):
    """A window.json of 200 draws, 160 to learn from, with these rows and searches."""

    def make(rows, searches):
        history, _ = true_history(count=200)
        lay_out(tmp_path, history, [], train=160, power=rows, searches=searches)
        return read_document(tmp_path / WINDOW_FILE, WindowConfig)

    return make


def test_gaps_and_seeds_are_named_and_generators_reached_alike_share_a_place(window_with):
    rows = (
        power("java", "mod", "algebra", 0.1, enough=True, gap=20),
        power("java", "next_int", "algebra", 0.1, enough=True, gap=20),
        power("xorshift64", "mod", "algebra", 0.0, enough=True, gap=20),
        power("xorshift64", "mod", "algebra", 0.1, enough=True, gap=4),
        power("pcg32", "mod", "seeds", 0.1, enough=True, gap=3, seeds=1 << 20),
        power("sfc64", "mod", "seeds", 0.1, enough=True, gap=0, seeds=1000),
    )
    made = tuple(
        search(row.generator, row.mapping, row.method, corruption=0.1, largest_gap=20)
        if row.method == "algebra"
        else search(
            row.generator, row.mapping, "seeds", corruption=0.1, largest_gap=3, seeds=row.seeds
        )
        for row in rows
    )
    algebra, seeds, last = power_sentences(window_with(rows, made))
    assert algebra == (
        "It would have caught with up to 10% of the draws wrong, in any state, gaps 0 to 20: java "
        "(mod, next_int); in any state, gaps 0 to 4: xorshift64 (mod)."
    )
    assert seeds == (
        "It would have caught with up to 10% of the draws wrong, from one of 2^20 seeds, gaps 0 to "
        "3: pcg32 (mod); from one of 1,000 seeds, gap 0: sfc64 (mod)."
    )
    assert "larger gaps" in last


def test_no_search_is_said_to_reach_farther_than_it_did(window_with):
    rows = (
        power("java", "mod", "algebra", 0.0, enough=True, gap=20),
        power("pcg32", "mod", "seeds", 0.0, enough=True, gap=3, seeds=1 << 20),
        power("sfc64", "mod", "seeds", 0.0, enough=True, gap=0, seeds=1 << 20),
    )
    made = (
        search("java", "mod", "algebra", largest_gap=2),
        search("pcg32", "mod", "seeds", largest_gap=3, seeds=1 << 10),
        # A session, or a late stretch, is not the whole history.
        search("sfc64", "mod", "seeds", seeds=1 << 20, stream="session noon"),
        search("sfc64", "mod", "seeds", seeds=1 << 20, first=20),
    )
    text = " ".join(power_sentences(window_with(rows, made)))
    assert "in any state, gaps 0 to 2: java (mod)" in text
    assert "from one of 1,024" not in text
    assert "from one of 2^10 seeds, gaps 0 to 3: pcg32 (mod)" in text
    assert "Not looked for in full: sfc64 (mod)." in text


def test_the_draws_wanted_are_those_of_the_share_of_wrong_draws_that_is_allowed_for(window_with):
    rows = (
        power("java", "mod", "algebra", 0.0, enough=False, wanted=161),
        power("java", "mod", "algebra", 0.1, enough=False, wanted=180),
        power("pcg32", "mod", "seeds", 0.1, enough=False, wanted=170),
        power("sfc64", "mod", "seeds", 0.1, enough=False),
    )
    window = window_with(rows, (search("java", "mod", "algebra", corruption=0.1),))
    assert draws_wanted(window) == rows[2]
    assert in_all(window, 170) == 213
    # Rounding never asks for as many draws as there are.
    assert in_all(window, 160) == 201
