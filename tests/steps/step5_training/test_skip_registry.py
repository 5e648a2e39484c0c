from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steps.contract import FamilyResult, Note, StepRequest
from steps.policies import Policy, SkipPolicy
from steps.step5_training.comparison import TIME_IS_UP
from steps.step5_training.report import count_families
from steps.step5_training.skip_registry import (
    clear,
    consult,
    count_run,
    look,
    registry_file,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
POLICY = SkipPolicy()
OK = FamilyResult(status="complete")
WEAK = FamilyResult(status="complete", severity="warning")
SICK = FamilyResult(
    status="complete",
    severity="critical",
    notes=(
        Note(level="warning", code="trials_failed", message="one failed"),
        Note(level="critical", code="dead_units", message="70 % of the units are dead"),
    ),
)
FAILED = FamilyResult(status="failed", severity="critical", error="every trial failed")


@pytest.fixture
def file(tmp_path):
    return registry_file(tmp_path)


def critical_runs(file, count, *, at=NOW, family="neural_net", start=1):
    """Runs r1, r2, ... in each of which the family is critical, all at one time."""
    for number in range(start, start + count):
        count_run(file, f"r{number}", {family: SICK}, POLICY, at)


def left_out(file, now, run="next", policy=POLICY):
    return set(consult(file, policy, run, now).skips)


def count_of(file, family="neural_net"):
    return look(file, POLICY, NOW).entries[family].consecutive_critical


def test_the_file_lies_where_other_programs_look_for_it(tmp_path, file):
    critical_runs(file, 1)
    path = tmp_path / "diagnostics_outputs" / "model_skip_registry.json"
    document = json.loads(path.read_text())
    assert document["schema_version"] == 1
    assert document["families"]["neural_net"]["consecutive_critical"] == 1
    assert document["families"]["neural_net"]["last_critical"]["run_id"] == "r1"


def test_a_family_is_left_out_after_the_third_critical_run_and_not_before(file):
    critical_runs(file, 2)
    assert left_out(file, NOW) == set()
    critical_runs(file, 1, start=3)
    assert left_out(file, NOW) == {"neural_net"}


def test_it_is_tried_again_after_the_hours_and_left_out_at_once_if_critical_once_more(file):
    critical_runs(file, 3)
    assert left_out(file, NOW + 23.9 * HOUR) == {"neural_net"}
    tried = NOW + 24 * HOUR
    assert left_out(file, tried) == set()
    critical_runs(file, 1, start=4, at=tried)
    assert left_out(file, tried + 23.9 * HOUR) == {"neural_net"}
    assert left_out(file, tried + 24 * HOUR) == set()


@pytest.mark.parametrize("other", [OK, WEAK])
def test_any_other_result_sets_the_count_to_zero(file, other):
    critical_runs(file, 2)
    count_run(file, "r3", {"neural_net": other}, POLICY, NOW)
    assert count_of(file) == 0
    critical_runs(file, 2, start=4)
    assert left_out(file, NOW) == set()


def test_a_failed_family_counts_as_critical(file):
    for run in ("a", "b", "c"):
        count_run(file, run, {"xgboost": FAILED}, POLICY, NOW)
    assert left_out(file, NOW) == {"xgboost"}
    assert "every trial failed" in consult(file, POLICY, "d", NOW).skips["xgboost"].reason


def test_a_time_budget_that_was_too_short_for_a_family_is_not_its_fault(tmp_path, file):
    request = StepRequest(
        run_id="r1",
        step=5,
        attempt=1,
        params={},
        inputs={},
        workspace=str(tmp_path),
        policy_path="",
        out_dir="",
    )
    late = FAILED.model_copy(update={"error": TIME_IS_UP})
    count_families(request, {"xgboost": late, "catboost": FAILED}, Policy(), NOW)
    assert set(look(file, POLICY, NOW).entries) == {"catboost"}


@pytest.mark.parametrize("status", ["skipped", "stopped"])
def test_families_that_did_not_train_to_an_end_change_nothing(file, status):
    critical_runs(file, 2)
    before = file.read_bytes()
    untrained = FamilyResult(status=status, severity="warning", error="people wanted it")
    assert count_run(file, "r3", {"neural_net": untrained}, POLICY, NOW) == ()
    assert file.read_bytes() == before


def test_each_family_has_a_count_of_its_own(file):
    for run in ("a", "b", "c"):
        count_run(file, run, {"neural_net": SICK, "xgboost": OK}, POLICY, NOW)
    assert left_out(file, NOW) == {"neural_net"}


def test_the_reason_names_the_count_the_finding_the_time_and_the_way_out(file):
    critical_runs(file, 3)
    here = timezone(timedelta(hours=2))
    reason = consult(file, POLICY, "next", NOW.astimezone(here)).skips["neural_net"].reason
    assert "3 critical results in a row" in reason
    assert "until 2026-03-02 14:00+02:00" in reason
    assert "run r3: 70 % of the units are dead;" in reason
    assert "watcher --skip-clear neural_net" in reason


def test_the_run_that_fills_the_count_says_so(file):
    critical_runs(file, 2)
    (note,) = count_run(file, "r3", {"neural_net": SICK, "xgboost": OK}, POLICY, NOW)
    assert (note.level, note.code) == ("warning", "family_left_out")
    assert note.message.startswith("neural_net was critical; it is left out after 3 critical")


# --- one run counts once ---------------------------------------------------------------------


def test_retries_of_one_run_count_once(file):
    for _ in range(5):
        count_run(file, "r1", {"neural_net": SICK}, POLICY, NOW)
    assert count_of(file) == 1


def test_a_retry_that_went_well_takes_the_first_attempts_result_back(file):
    critical_runs(file, 3)
    count_run(file, "r3", {"neural_net": OK}, POLICY, NOW)
    assert count_of(file) == 0


def test_a_retry_that_went_badly_counts_on_from_before_the_run(file):
    critical_runs(file, 2)
    count_run(file, "r3", {"neural_net": OK}, POLICY, NOW)
    count_run(file, "r3", {"neural_net": SICK}, POLICY, NOW)
    assert count_of(file) == 3


def test_what_a_run_did_to_itself_does_not_keep_its_own_retry_from_training(file):
    critical_runs(file, 3)
    assert left_out(file, NOW, run="r3") == set()
    assert left_out(file, NOW, run="r4") == {"neural_net"}


def test_a_retry_of_a_run_that_found_the_family_left_out_leaves_it_out_too(file):
    critical_runs(file, 3)
    for _ in range(2):
        assert left_out(file, NOW, run="r4") == {"neural_net"}
        count_run(file, "r4", {"xgboost": OK}, POLICY, NOW)


RESULTS = st.sampled_from([OK, WEAK, SICK, FAILED])


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.lists(st.lists(RESULTS, min_size=1, max_size=4), max_size=8))
def test_only_the_last_result_of_each_run_counts(tmp_path_factory, runs):
    file = registry_file(tmp_path_factory.mktemp("workspace"))
    expected = 0
    for number, attempts in enumerate(runs):
        for result in attempts:
            count_run(file, f"r{number}", {"catboost": result}, POLICY, NOW)
        expected = expected + 1 if attempts[-1].severity == "critical" else 0
        assert count_of(file, "catboost") == expected


# --- the policy ------------------------------------------------------------------------------


def test_a_changed_policy_acts_on_what_was_counted_before(file):
    critical_runs(file, 2)
    assert left_out(file, NOW, policy=SkipPolicy(after_critical=2)) == {"neural_net"}
    critical_runs(file, 1, start=3)
    assert left_out(file, NOW + 2 * HOUR, policy=SkipPolicy(hours=1)) == set()
    assert left_out(file, NOW + 30 * HOUR, policy=SkipPolicy(hours=48)) == {"neural_net"}


def test_with_the_registry_off_nobody_is_left_out_and_results_still_count(file):
    off = SkipPolicy(enabled=False)
    for run in ("a", "b", "c"):
        notes = count_run(file, run, {"neural_net": SICK}, off, NOW)
        assert notes == ()
    assert left_out(file, NOW, policy=off) == set()
    assert left_out(file, NOW) == {"neural_net"}


# --- clearing --------------------------------------------------------------------------------


def test_clearing_forgets_one_family_and_leaves_the_others(file):
    critical_runs(file, 3)
    critical_runs(file, 3, family="xgboost", start=4)
    entry, said = clear(file, "neural_net", NOW)
    assert (entry.consecutive_critical, said) == (3, ())
    assert left_out(file, NOW) == {"xgboost"}
    critical_runs(file, 1, start=7)
    assert count_of(file) == 1


def test_clearing_what_was_never_counted_changes_nothing(file):
    assert clear(file, "neural_net", NOW) == (None, ())
    assert not file.exists()


# --- the clock -------------------------------------------------------------------------------

JUMPS = st.sampled_from([-24 * HOUR, -HOUR, timedelta(0), HOUR, 24 * HOUR])


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    st.lists(st.tuples(JUMPS, st.floats(0, 30), st.sampled_from(["look", "critical"])), max_size=12)
)
def test_whatever_the_clock_does_a_family_waits_at_most_the_policys_hours(tmp_path_factory, events):
    """From the moment a run finds it left out, in hours that really pass while the clock is let be.

    The clock may have jumped just before.
    """
    file = registry_file(tmp_path_factory.mktemp("workspace"))
    critical_runs(file, 3)
    clock = NOW
    for number, (jump, hours, what) in enumerate(events):
        clock += jump + hours * HOUR
        skips = consult(file, POLICY, f"n{number}", clock).skips
        if "neural_net" in skips:
            assert clock < skips["neural_net"].until <= clock + 24 * HOUR
            registry = look(file, POLICY, clock)
            assert registry.entries["neural_net"].last_critical.at <= clock
            # A run that many hours later, with an undisturbed clock, tries it.
            later = look(file, POLICY, clock + 24 * HOUR)
            assert "neural_net" not in later.skips
        elif what == "critical":
            count_run(file, f"n{number}", {"neural_net": SICK}, POLICY, clock)
            assert set(look(file, POLICY, clock).skips) == {"neural_net"}


def test_a_clock_that_jumped_back_makes_the_wait_no_longer_and_is_told_once(file):
    critical_runs(file, 3, at=NOW + 24 * HOUR)
    first = consult(file, POLICY, "a", NOW)
    assert first.skips["neural_net"].until == NOW + 24 * HOUR
    assert "still to come" in first.notes[0].message
    assert consult(file, POLICY, "b", NOW + HOUR).notes == ()
    assert left_out(file, NOW + 24 * HOUR) == set()


def test_a_clock_that_jumped_ahead_ends_the_wait_early_and_no_harm_is_done(file):
    critical_runs(file, 3)
    ahead = NOW + 24 * HOUR
    assert left_out(file, ahead) == set()
    critical_runs(file, 1, start=4, at=ahead)
    # Set right again: the last result now lies a day ahead.
    assert consult(file, POLICY, "n", NOW).skips["neural_net"].until == NOW + 24 * HOUR


def test_looking_changes_nothing_even_where_a_run_would_set_things_right(file):
    critical_runs(file, 3, at=NOW + 24 * HOUR)
    before = file.read_bytes()
    assert look(file, POLICY, NOW).skips["neural_net"].until == NOW + 24 * HOUR
    assert file.read_bytes() == before


# --- what is said ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (FAILED.model_copy(update={"error": "line one\nTraceback"}), "line one"),
        (FAILED.model_copy(update={"error": "x" * 999}), "x" * 297 + "..."),
        (FAILED.model_copy(update={"error": "file \udcff"}), "file ?"),
        (FAILED.model_copy(update={"error": None}), "it does not say why"),
    ],
)
def test_a_finding_is_kept_as_one_line_that_can_be_written(file, result, said):
    count_run(file, "r1", {"xgboost": result}, POLICY, NOW)
    assert look(file, POLICY, NOW).entries["xgboost"].last_critical.finding == said
