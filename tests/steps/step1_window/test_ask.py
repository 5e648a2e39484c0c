from __future__ import annotations

import numpy as np
import pytest

from steps.prng import GENERATORS, MAPPINGS, Law
from steps.prng.recovery.brute_force import BLOCK_SEEDS
from steps.step1_window import ask
from steps.step1_window.answers import Answer, AnswerStore
from steps.step1_window.ask import Asker
from steps.step1_window.planned import Planned

SEED = 9_000_000


def planned(**changes):
    plain = {
        "stream": "all",
        "first": 0,
        "stop": 30,
        "generator": "java",
        "mapping": "next_int",
        "method": "seeds",
        "gaps": range(1),
        "seeding": "scramble",
        "seeds": range(10_000_000),
    }
    return Planned(**{**plain, **changes})


@pytest.fixture
def asker(tmp_path):
    law = Law(GENERATORS["java"], MAPPINGS["next_int"], 1000)
    seeded = GENERATORS["java"].seed(np.array([SEED], np.uint64), "scramble")
    draws = {"all": law.draws(seeded, 30)[0]}

    def make(should_stop=lambda: False, worth_keeping_s=0.0):
        store = AnswerStore(tmp_path / "search", worth_keeping_s)
        return Asker(draws, 1000, 1e-9, store, 1, should_stop)

    return make


@pytest.fixture
def started_at(monkeypatch):
    """The blocks at which searches of seeds were begun."""
    blocks = []
    real = ask.search_seeds

    def watched(*arguments, start_block, **named):
        blocks.append(start_block)
        return real(*arguments, start_block=start_block, **named)

    monkeypatch.setattr(ask, "search_seeds", watched)
    return blocks


def test_a_stopped_search_of_seeds_goes_on_where_it_was(asker, started_at):
    asked = iter([False] * 3)
    first = asker(lambda: next(asked, True)).ask(planned())
    assert not first.complete
    assert 0 < first.next_block * BLOCK_SEEDS < SEED
    again = asker().ask(planned())
    assert started_at == [0, first.next_block]
    assert (again.best.seed, again.proven, again.complete) == (SEED, True, True)
    assert again.seeds > first.seeds == first.next_block * BLOCK_SEEDS


def test_a_finished_search_is_not_made_again(asker, started_at):
    one, two = (asker().ask(planned()) for _ in range(2))
    assert one == two
    assert len(started_at) == 1


@pytest.mark.parametrize("changes", [{"stop": 29}, {"seeds": range(9_999_999)}, {"gaps": range(2)}])
def test_another_question_has_another_answer(asker, started_at, changes):
    asker().ask(planned())
    asker().ask(planned(**changes))
    assert started_at == [0, 0]


@pytest.mark.parametrize("harm", [b"", b"{}", b"\xff\xfe", b"other\n{}"])
def test_an_answer_that_cannot_be_read_is_set_aside_and_found_anew(asker, tmp_path, harm):
    before = asker().ask(planned())
    (file,) = (tmp_path / "search").glob("*.json")
    file.write_bytes(harm)
    again = asker()
    assert again.ask(planned()).best == before.best
    assert "could not be read" in again.store.set_aside[0]
    assert len(list((tmp_path / "search").glob("*.corrupt"))) == 1


def test_what_took_no_time_is_not_kept(asker, tmp_path):
    asker(worth_keeping_s=60).ask(planned())
    assert not list(tmp_path.glob("search/*.json"))


def test_answers_of_other_questions_are_forgotten_in_the_end(asker, tmp_path):
    asker().ask(planned())
    later = asker()
    later.ask(planned(stop=28))
    later.store.forget_others()
    assert len(list(tmp_path.glob("search/*.json"))) == 1


def test_a_search_that_cannot_be_made_says_why_and_how_many_draws_it_wants(asker):
    answer = asker().ask(planned(stop=2))
    assert answer.refusal.startswith("the search over seeds of java next_int 1000 needs about")
    assert (answer.best, answer.draws_wanted, answer.complete) == (None, 3, True)


def test_a_search_that_is_stopped_before_it_began_has_no_answer(asker):
    assert asker(lambda: True).ask(planned(method="algebra")) == Answer()


def test_algebra_starts_all_over_the_history(asker):
    one = asker()
    one.draws["all"][:15] = np.random.default_rng(1).integers(0, 1000, 15)
    assert not one.ask(planned(method="algebra", starts=1)).proven
    assert one.ask(planned(method="algebra", starts=16)).proven
