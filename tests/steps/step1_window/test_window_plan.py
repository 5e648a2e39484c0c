from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from steps.prng import GENERATORS, MAPPINGS
from steps.prng.recovery.found import ALPHA
from steps.step1_window.efforts import EFFORTS, power_of_two_below
from steps.step1_window.needs import algebra_need, seeds_need
from steps.step1_window.plan import pairs_of, plan_searches
from steps.step1_window.planned import BACKWARD, Scope, Subject
from steps.step1_window.power import fewest_draws, power_rows
from steps.step1_window.settings import WindowSettings

MANIFEST = json.loads(
    (Path(__file__).parents[3] / "agent_manifests" / "window_optimizer.json").read_text()
)
PAIRS = (("java", "next_int"), ("pcg32", "mod"), ("mt19937", "mod"))
SCOPE = Scope(EFFORTS["quick"], PAIRS, None, 0.1, 0.02, ALPHA / 1e4)
SUBJECT = Subject(1000, (("all", 800),), first_date="2015-01-01")


def test_the_manifest_declares_every_parameter_with_the_code_s_default():
    declared = MANIFEST["parameter_bounds"]
    assert set(declared) == set(WindowSettings.model_fields)
    for name, default in WindowSettings().model_dump(mode="json").items():
        assert declared[name]["default"] == default, name


def test_names_are_put_in_the_registry_s_order_and_none_means_all():
    settings = WindowSettings(generators=("pcg32", "java"))
    assert settings.names() == (("java", "pcg32"), tuple(MAPPINGS))
    assert WindowSettings().names()[0] == tuple(GENERATORS)


def test_pairs_leave_out_what_cannot_make_such_draws():
    assert pairs_of(("java",), tuple(MAPPINGS), 69) == (
        ("java", "mod"),
        ("java", "next_int"),
        ("java", "multiply"),
    )
    assert ("java", "digits_mod") in pairs_of(("java",), tuple(MAPPINGS), 1000)
    assert ("java", "digits_mod") not in pairs_of(("java",), tuple(MAPPINGS), 10)


def test_algebra_comes_before_seeds_and_clean_draws_before_wrong_ones():
    plan = plan_searches(SUBJECT, SCOPE)
    methods = [search.method for search in plan]
    assert methods == sorted(methods)
    java = [search for search in plan if search.generator == "java"]
    assert [search.starts > 1 for search in java] == [False, True]


def test_a_twister_in_few_draws_is_looked_for_by_its_seeds():
    few = plan_searches(SUBJECT, SCOPE)
    many = plan_searches(replace(SUBJECT, streams=(("all", 9000),)), SCOPE)
    seeds = [
        {(s.generator, s.method) for s in plan if s.generator == "mt19937"} for plan in (few, many)
    ]
    assert seeds == [{("mt19937", "algebra"), ("mt19937", "seeds")}, {("mt19937", "algebra")}]


def test_seeds_that_are_times_lie_right_before_the_first_draw():
    (times,) = {s.seeds for s in plan_searches(SUBJECT, SCOPE) if s.seeds.start}
    first_day = 1_420_070_400
    assert times.start < first_day < times.stop < first_day + 3 * 86_400
    undated = plan_searches(replace(SUBJECT, first_date=None), SCOPE)
    assert not {s.seeds for s in undated if s.seeds.start}


def test_more_effort_means_more_gaps_and_all_seeds_of_32_bits():
    most = {
        name: plan_searches(SUBJECT, replace(SCOPE, effort=effort))
        for name, effort in EFFORTS.items()
    }
    gaps = {name: max(len(s.gaps) for s in plan) for name, plan in most.items()}
    assert gaps == {"quick": 21, "standard": 101, "deep": 501}
    seeds = {name: max(s.seeds.stop for s in plan) for name, plan in most.items()}
    assert seeds["standard"] == 1 << 32 < seeds["deep"]


def test_a_largest_gap_that_is_given_holds_for_every_generator():
    plan = plan_searches(SUBJECT, replace(SCOPE, max_gap=33))
    assert {len(s.gaps) for s in plan if s.generator == "java"} == {34}
    assert 34 in {len(s.gaps) for s in plan if s.generator == "pcg32"}


@pytest.mark.parametrize(("number", "power"), [(0.5, 0), (1, 1), (1023.9, 512), (1024, 1024)])
def test_power_of_two_below(number, power):
    assert power_of_two_below(number) == power


def test_needs_grow_with_corruption_and_are_none_where_nothing_helps():
    alpha = ALPHA / 1000
    clean = algebra_need("java", "next_int", 1000, 21, 0.0, alpha)
    wrong = algebra_need("java", "next_int", 1000, 21, 0.1, alpha)
    assert 8 <= clean.draws < wrong.draws < 40
    assert clean.log_hypotheses == pytest.approx(48 * math.log(2) + math.log(21))
    assert algebra_need("java", "multiply", 1000, 1, 0.0, alpha).draws is None
    assert "no lower bits" in algebra_need("java", "multiply", 1000, 1, 0.0, alpha).why
    assert algebra_need("mt19937", "mod", 10, 1, 0.0, alpha).draws > 20_000
    assert algebra_need("mt19937", "mod", 1000, 1, 0.05, alpha).draws is None
    seeds = seeds_need("pcg32", "mod", 1000, "stream_54", range(1 << 20), 1, 0.1, alpha)
    assert 6 < seeds.draws < 15


def test_power_says_what_was_enough_and_what_no_search_would_catch():
    plan = plan_searches(SUBJECT, SCOPE)
    rows = {
        (row.generator, row.method, row.corruption): row
        for row in power_rows(plan, 1000, 800, 0.1, ALPHA / 1000)
    }
    assert rows["java", "algebra", 0.0].enough
    assert rows["java", "algebra", 0.1].enough
    assert not rows["java", "algebra", 0.25].enough
    assert not rows["mt19937", "algebra", 0.0].enough
    assert rows["mt19937", "algebra", 0.0].draws_wanted > 7000
    assert rows["mt19937", "algebra", 0.1].draws_wanted is None
    assert fewest_draws(tuple(rows.values()), 0.1).generator == "pcg32"


def test_where_hardly_any_start_is_clean_wrong_draws_are_borne():
    scope = replace(SCOPE, pairs=(("xorshift32", "multiply"), ("xorshift128", "mod")))
    plan = [search for search in plan_searches(SUBJECT, scope) if search.starts != 1]
    ways = {search.generator: (search.corruption, search.starts) for search in plan}
    assert ways["xorshift32"][0] == 0.0
    assert ways["xorshift32"][1] >= 16
    borne = [s for s in plan_searches(SUBJECT, scope) if s.corruption and s.method == "algebra"]
    assert {search.generator for search in borne} == {"xorshift128"}


def test_what_a_search_would_take_too_long_for_is_left_out_and_says_so():
    scope = replace(SCOPE, pairs=(("minstd_rand", "digits_mod"),))
    (clean, rough) = plan_searches(SUBJECT, scope)
    assert "left to more effort: a gap takes about 3.5 s" in clean.left_out
    assert rough.left_out is not None
    deep = plan_searches(SUBJECT, replace(scope, effort=EFFORTS["deep"]))
    assert all(search.left_out is None for search in deep)


def test_without_dates_algebra_reads_whole_streams_backward_too():
    pairs = (("java", "mod"), ("lcg32", "mod"), ("mt19937", "mod"), ("pcg32", "mod"))
    scope = replace(SCOPE, pairs=pairs)
    streams = (("all", 9000), ("session noon", 4500))

    def backward(modulus, in_order):
        subject = Subject(modulus, streams, first_date=None, in_order=in_order)
        plan = plan_searches(subject, scope)
        return {(s.stream, s.generator) for s in plan if s.stream.startswith(BACKWARD)}

    assert backward(1000, in_order=True) == set()
    assert backward(1000, in_order=False) == {
        (f"backward {stream}", generator)
        for stream in ("all", "session noon")
        for generator in ("java", "lcg32")
    }
    # Three bits come round after eight calls: backward is another gap.
    assert {generator for _, generator in backward(8, in_order=False)} == {"java"}
