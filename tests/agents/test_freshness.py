"""Whether a step runs, from facts alone: no file, no process, no clock."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.freshness import (
    CodeFact,
    HiddenFact,
    InputFact,
    OutputFact,
    StepFacts,
    Success,
    SuccessFacts,
    judge_freshness,
    read_success,
)

A, B, C, D = (letter * 64 for letter in "abcd")
FACTS = StepFacts(
    inputs=(InputFact(name="survivors", path="/data/table.csv", sha256=A),),
    parameters={"trials": 20, "target": "price", "study_storage": "postgresql://u:***@h/db"},
    hidden=HiddenFact(names=("study_storage",), slow_hash=D),
    manifest=B,
    code=CodeFact(sources=C, libraries={"numpy": "2.1", "torch": "2.10"}),
)
LEFT = {"models/best.json": A, "models/best.cbm": B}
OUTPUTS = tuple(OutputFact(path=path, sha256=sha256) for path, sha256 in LEFT.items())
RECORD = SuccessFacts(**dict(FACTS), outputs=OUTPUTS, retried_with={})
SUCCESS = Success("20261122-010203-abcd", 2, "2026-11-22T01:30:00.000+00:00", RECORD)
SINCE = f"run {SUCCESS.run_id} (2026-11-22 01:30)"


def now(**changes):
    return FACTS.model_copy(update=changes)


def parameters(**changes):
    return now(parameters={**FACTS.parameters, **changes})


def reasons(facts, outputs=LEFT, recorded=SUCCESS, **asked):
    verdict = judge_freshness(facts, recorded, outputs, **asked)
    assert verdict.run
    return verdict.reasons


def test_a_step_that_nothing_has_changed_for_is_skipped_and_says_since_when():
    verdict = judge_freshness(FACTS, SUCCESS, LEFT)
    assert not verdict.run
    assert verdict.sentence == f"nothing has changed since {SINCE}"


def test_a_skip_tells_what_retries_had_changed():
    record = RECORD.model_copy(update={"retried_with": {"trials": 10}})
    recorded = Success("r", 3, "t", record)
    verdict = judge_freshness(FACTS, recorded, LEFT)
    assert not verdict.run
    assert verdict.sentence.endswith("which succeeded after a retry with trials = 10")


def test_a_step_without_a_recorded_success_runs():
    assert reasons(FACTS, recorded=None) == ("it has no recorded success yet",)


@pytest.mark.parametrize("flag", ["--force", "--force-step 5"])
def test_force_runs_a_fresh_step(flag):
    assert reasons(FACTS, forced=flag) == (f"asked for with {flag}",)


def test_other_content_of_an_input_runs_the_step():
    other = InputFact(name="survivors", path="/data/table.csv", sha256=B)
    assert reasons(now(inputs=(other,))) == (
        f"input survivors has other content (/data/table.csv) since {SINCE}",
    )


def test_other_content_in_another_place_names_both_places():
    other = InputFact(name="survivors", path="/new/table.csv", sha256=B)
    (reason,) = reasons(now(inputs=(other,)))
    assert "/new/table.csv, before it was /data/table.csv" in reason


def test_an_input_that_was_moved_is_fresh():
    moved = InputFact(name="survivors", path="/elsewhere/same.CSV", sha256=A)
    assert not judge_freshness(now(inputs=(moved,)), SUCCESS, LEFT).run


@pytest.mark.parametrize("path", ["/data/table.json", "/data/table.csv.gz", "/data.csv/table"])
def test_an_input_that_is_read_in_another_way_runs_the_step(path):
    renamed = InputFact(name="survivors", path=path, sha256=A)
    (reason,) = reasons(now(inputs=(renamed,)))
    assert f"another name ({path}, before /data/table.csv)" in reason


def test_an_input_that_came_and_one_that_went_are_named():
    came = InputFact(name="history", path="/data/draws.json", sha256=A)
    first, last = reasons(now(inputs=(came,)))
    assert first == "input history is new (/data/draws.json)"
    assert last.startswith("input survivors is gone (/data/table.csv)")


def test_a_changed_parameter_is_named_with_both_values():
    assert reasons(parameters(trials=30))[0].startswith("parameter trials changed, 20 -> 30")


@pytest.mark.parametrize(("value", "fresh"), [(20.0, True), (True, False), ("20", False)])
def test_numbers_are_compared_as_numbers_and_nothing_else_is_a_number(value, fresh):
    assert judge_freshness(parameters(trials=value), SUCCESS, LEFT).run is not fresh


def test_true_is_not_one():
    record = RECORD.model_copy(update={"parameters": {"x": 1}})
    assert judge_freshness(now(parameters={"x": True}), Success("r", 1, "t", record), LEFT).run


def test_parameters_that_came_and_went_are_named():
    facts = now(parameters={"target": "price", "study_storage": "postgresql://u:***@h/db", "k": 5})
    first, last = reasons(facts)
    assert first == "parameter k is new (5)"
    assert last.startswith("parameter trials is gone")


def test_an_ignored_parameter_may_change_come_and_go():
    assert not judge_freshness(parameters(trials=30), SUCCESS, LEFT, ignored={"trials"}).run
    assert not judge_freshness(parameters(k=30), SUCCESS, LEFT, ignored={"k"}).run
    without = now(parameters={k: v for k, v in FACTS.parameters.items() if k != "trials"})
    assert not judge_freshness(without, SUCCESS, LEFT, ignored={"trials"}).run


def test_a_long_value_is_cut():
    (reason,) = reasons(parameters(target="x" * 500))
    assert len(reason) < 200


def test_values_reach_people_only_as_they_may_be_shown():
    got = reasons(parameters(target="hunter2"), shown=lambda name, value: f"<{name}>")
    assert got[0].startswith("parameter target changed, <target> -> <target>")
    assert "hunter2" not in got[0]


def test_a_changed_password_runs_the_step_without_being_told():
    hidden = HiddenFact(names=("study_storage",), slow_hash=A)
    (reason,) = reasons(now(hidden=hidden))
    assert reason.startswith("a secret changed in study_storage since")


def test_a_changed_manifest_runs_the_step():
    assert reasons(now(manifest=C))[0].startswith("its manifest changed since")


def test_changed_sources_run_the_step():
    code = CodeFact(sources=A, libraries=FACTS.code.libraries)
    assert reasons(now(code=code))[0].startswith("its code changed since")


def test_changed_libraries_are_named_with_their_versions():
    code = CodeFact(sources=C, libraries={"numpy": "2.2", "xgboost": "3.0"})
    first, second, third = reasons(now(code=code))
    assert first == "library numpy changed, 2.1 -> 2.2"
    assert second == "library torch changed, 2.10 -> not installed"
    assert third.startswith("library xgboost changed, not installed -> 3.0")


def test_a_missing_output_is_named():
    (reason,) = reasons(FACTS, {**LEFT, "models/best.cbm": None})
    assert reason.startswith("output models/best.cbm is not there")


def test_an_output_that_nobody_looked_at_counts_as_missing():
    (reason,) = reasons(FACTS, {"models/best.json": A})
    assert reason.startswith("output models/best.cbm is not there")


def test_an_altered_output_is_named():
    (reason,) = reasons(FACTS, {**LEFT, "models/best.cbm": C})
    assert reason.startswith("output models/best.cbm is altered since")


def test_an_altered_output_names_the_run_that_wrote_it_if_that_is_known():
    asked = []

    def wrote(path, sha256):
        asked.append((path, sha256))
        return "20261122-050000-ffff"

    (reason,) = reasons(FACTS, {**LEFT, "models/best.cbm": C}, wrote=wrote)
    assert "is altered: it is as run 20261122-050000-ffff left it" in reason
    assert asked == [("models/best.cbm", C)]


def test_a_declared_output_that_the_success_did_not_leave_may_be_missing_but_not_anothers():
    assert not judge_freshness(
        FACTS, read_success(row(RECORD.model_dump_json())), {**LEFT, "report.json": None}
    ).run
    (foreign,) = reasons(FACTS, {**LEFT, "report.json": C})
    assert foreign.startswith("output report.json is not one that it left")


def test_every_change_is_told_at_once():
    facts = parameters(trials=30).model_copy(update={"manifest": C})
    got = reasons(facts, {**LEFT, "models/best.cbm": None})
    assert len(got) == 3
    assert sum("since run" in reason for reason in got) == 1


def row(facts):
    return {"run_id": "r1", "attempt": 1, "recorded_at": "t", "facts": facts}


def test_a_record_comes_back_as_it_was_written():
    read = read_success(row(RECORD.model_dump_json()))
    assert read.facts == RECORD
    assert not judge_freshness(FACTS, read, LEFT).run


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ("", "JSON"),
        ('{"schema_version": 1', "JSON"),
        ("null", "the file"),
        (json.dumps({**json.loads(RECORD.model_dump_json()), "schema_version": 0}), "got 0"),
        (json.dumps({**json.loads(RECORD.model_dump_json()), "more": 0}), "more: unknown key"),
        (json.dumps({**json.loads(RECORD.model_dump_json()), "manifest": "***"}), "manifest"),
    ],
)
def test_a_record_that_cannot_be_used_means_run_and_says_why(facts, said):
    recorded = read_success(row(facts))
    (reason,) = reasons(FACTS, recorded=recorded)
    assert reason.startswith("the record of run r1 (t) cannot be used (")
    assert said in reason


HASHES = st.sampled_from((A, B, C))


@given(
    inputs=st.dictionaries(st.sampled_from("xyz"), HASHES),
    parameters=st.dictionaries(st.sampled_from("pqr"), st.sampled_from((0, 1, "a", None, True))),
    manifest=HASHES,
    outputs=st.dictionaries(st.sampled_from("abc"), HASHES),
    outputs_now=st.dictionaries(st.sampled_from("abc"), HASHES | st.none()),
    data=st.data(),
)
def test_a_step_is_skipped_exactly_when_nothing_differs(
    inputs, parameters, manifest, outputs, outputs_now, data
):
    def facts(inputs, parameters, manifest):
        found = tuple(InputFact(name=n, path="/t.csv", sha256=h) for n, h in inputs.items())
        return now(inputs=found, parameters=parameters, manifest=manifest)

    then = facts(inputs, parameters, manifest)
    left = tuple(OutputFact(path=path, sha256=sha256) for path, sha256 in outputs.items())
    record = SuccessFacts(**dict(then), outputs=left, retried_with={})
    other_inputs = data.draw(st.just(inputs) | st.dictionaries(st.sampled_from("xyz"), HASHES))
    other_manifest = data.draw(st.just(manifest) | HASHES)
    looked = data.draw(st.just(outputs) | st.just(outputs_now))
    verdict = judge_freshness(
        facts(other_inputs, parameters, other_manifest), Success("r", 1, "t", record), looked
    )
    # What the success did not leave, and is not there now, is no difference.
    left = {path: sha for path, sha in looked.items() if sha is not None or path in outputs}
    same = (other_inputs, other_manifest, left) == (inputs, manifest, outputs)
    assert verdict.run is not same
    assert verdict.reasons
