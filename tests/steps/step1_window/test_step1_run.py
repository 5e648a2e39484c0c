from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from steps.errors import StepRefused
from steps.files import sha256_file
from steps.forensics.candidates import predicted
from steps.forensics.documents import HistoryFacts, Regimes, Segment, write_document
from steps.forensics.lineage import check_lineage
from steps.prng.recovery.found import ALPHA
from steps.step1_window import outcome
from steps.step1_window import run as step

TRUE = {"kind": "true"}
FEW = {"generators": ["java", "pcg32"], "mappings": ["next_int", "mod"]}
OF_ONE_RUN = (
    "train_history.json",
    "holdout_history.json",
    "survivors.parquet",
    "optimal_window_config.json",
)


def draws_of(records):
    return np.array([record["draw"] for record in records])


def test_a_secret_seed_is_found_behind_gap_wrong_and_missing_draws(search, simulated, machine):
    records = simulated(machine(gap=3), count=400, corruption_rate=0.1, missing_rate=0.02)
    done = search(records, **FEW)
    (found,) = done.config.found
    assert done.config.verdict == "seed found"
    assert (found.generator, found.mapping, found.gap) == ("java", "next_int", 3)
    assert (found.seed, found.seeding, found.offset) == (987_654_321, "scramble", 0)
    assert (found.first, found.stop, found.compared) == (0, 320, 320)
    assert found.matches == pytest.approx(288, abs=15)
    # Up to the next missing draw.
    assert np.count_nonzero(predicted(found, 320, 20) == draws_of(records)[320:340]) >= 4
    assert done.result.status == "complete"
    assert done.survivors[0] == found


def test_searches_that_a_find_makes_needless_are_on_record_as_not_made(search, simulated, machine):
    done = search(simulated(machine()), **FEW)
    whys = {search.not_tried for search in done.config.searches if not search.found}
    assert "its draws are explained already" in whys
    assert sum(search.found for search in done.config.searches) == 1


def test_a_small_seed_is_found_where_there_is_no_algebra(search, simulated, machine):
    records = simulated(
        machine("pcg32", "mod", "stream_54", 54_321), count=100, corruption_rate=0.1
    )
    done = search(records, generators=["pcg32"], mappings=["mod"])
    (found,) = done.config.found
    assert (found.seed, found.seeding, found.offset) == (54_321, "stream_54", 0)
    assert found.origin == "seeds"
    assert np.mean(predicted(found, 80, 20) == draws_of(records)[80:]) > 0.7


def test_every_stretch_of_a_machine_seeded_anew_is_found(search, simulated, machine):
    records = simulated(machine(), count=500, reseed_every=80, corruption_rate=0.05)
    done = search(records, generators=["java"], mappings=["next_int"])
    stretches = sorted((found.first, found.stop) for found in done.config.found)
    assert len(stretches) == 5
    for (first, stop), wanted in zip(stretches, range(0, 400, 80), strict=True):
        assert first == pytest.approx(wanted, abs=4)
        assert stop == pytest.approx(wanted + 80, abs=4)
    # A seed of 32 bits right before the stretch is news, wherever the stretch begins.
    assert sum(found.seed is not None and found.seed < 2**32 for found in done.config.found) >= 3


def test_two_machines_that_take_turns_are_found_by_session(search, simulated, machine):
    machines = machine(), machine("xorshift32", "mod", "raw", 77)
    records = simulated(*machines, mixing="sessions")
    done = search(records, generators=["java", "xorshift32"], mappings=["next_int", "mod"])
    assert {(found.stream, found.generator) for found in done.config.found} == {
        ("session midday", "java"),
        ("session evening", "xorshift32"),
    }
    assert done.result.metrics["explained_draws"] == 240


def test_true_randomness_is_no_generator(search, simulated):
    done = search(simulated(TRUE), **FEW)
    assert (done.config.verdict, done.config.found) == ("nothing found", ())
    assert done.result.status == "complete"
    assert any(row.enough for row in done.config.power)
    assert len(done.survivors) >= 300
    assert all(candidate.score < -np.log(ALPHA) for candidate in done.survivors)


def test_eight_draws_are_too_few_and_the_headline_says_how_many_would_do(search, simulated):
    done = search(simulated(TRUE, count=8), **FEW)
    assert done.config.verdict == "insufficient data"
    assert done.result.status == "complete"
    assert "Too few draws: 6" in done.result.headline
    wanted = min(row.draws_wanted for row in done.config.power if row.corruption == 0.1)
    assert f"About {-(-wanted * 10 // 8)} draws in all" in done.result.what_next[0]


def test_more_survivors_can_be_asked_for_and_fewer(search, simulated):
    records = simulated(TRUE, count=60)
    done = search(records, generators=["pcg32"], mappings=["mod"], survivors_kept=50)
    assert len(done.survivors) == done.config.survivors == 50


def test_the_holdout_is_never_looked_at(search, simulated, machine):
    records = simulated(machine(), count=200, corruption_rate=0.1)
    changed = [*records[:160], *({**record, "draw": 7} for record in records[160:])]
    one, other = search(records, **FEW), search(changed, **FEW)
    alike = {"seconds": 0.0}
    assert one.config.found == other.config.found
    assert one.survivors == other.survivors
    assert [s.model_copy(update=alike) for s in one.config.searches] == [
        s.model_copy(update=alike) for s in other.config.searches
    ]


def test_train_and_holdout_are_split_by_position(search, simulated):
    records = simulated(TRUE, count=50)
    done = search(records, generators=["java"], mappings=["mod"], holdout_fraction=0.3)
    train, holdout = (
        json.loads((done.workspace / f"{part}_history.json").read_text())
        for part in ("train", "holdout")
    )
    assert [row["draw"] for row in train + holdout] == [row["draw"] for row in records]
    assert (done.config.train, done.config.holdout) == (len(train), len(holdout)) == (35, 15)


def test_a_stopped_step_writes_no_answer_and_ends_as_another_would(
    search, simulated, machine, monkeypatch
):
    records = simulated(machine("pcg32", "mod", "default_stream", 900_000), count=60)
    params = {"generators": ["pcg32"], "mappings": ["mod"]}
    asked = iter([False] * 20)
    monkeypatch.setattr(step, "stop_requested", lambda: next(asked, True))
    halted = search(records, **params)
    assert (halted.result.status, halted.config) == ("halted", None)
    monkeypatch.undo()
    assert search(records, **params).config.found[0].seed == 900_000


def test_step_0_s_segments_are_searched_by_themselves(search, simulated, tmp_path):
    records = simulated(TRUE, count=100)
    first = search(records, generators=["xorshift32"], mappings=["mod"])
    facts = first.config.history

    def regimes(facts: HistoryFacts):
        write_document(
            tmp_path / "regimes.json",
            Regimes(
                run_id="run",
                created_at=first.config.created_at,
                history=facts,
                tests=(),
                segments=(Segment(first=0, stop=30), Segment(first=30, stop=100)),
                uniform=True,
                headline="",
            ),
        )
        return {"regimes": str(tmp_path / "regimes.json")}

    few = {"generators": ["xorshift32"], "mappings": ["mod"]}
    done = search(records, inputs=regimes(facts), **few)
    assert {(0, 30), (30, 80)} <= {(s.first, s.stop) for s in done.config.searches}
    other = facts.model_copy(update={"sha256": "0"})
    done = search(records, inputs=regimes(other), **few)
    assert not {(0, 30), (30, 80)} & {(s.first, s.stop) for s in done.config.searches}
    assert "about another history" in done.result.notes[-1].message


def test_a_budget_that_is_used_up_leaves_searches_out_and_says_so(search, simulated):
    done = search(simulated(TRUE), **FEW, search_minutes=1e-9)
    whys = {s.not_tried for s in done.config.searches}
    assert "the time of search_minutes was used up" in whys


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"generators": ["jaba"]}, "did you mean 'java'"),
        ({"mappings": ["mood"]}, "did you mean 'mod'"),
        ({"corruption": 0.5}, "corruption"),
        ({"mappings": ["digits_mod"], "draw_max": 68}, "none of them makes draws of 69 values"),
    ],
)
def test_parameters_that_cannot_be_used_are_refused(search, simulated, params, message):
    records = [{**record, "draw": record["draw"] % 69} for record in simulated(TRUE, count=20)]
    with pytest.raises(StepRefused, match=message) as refusal:
        search(records, **params)
    assert refusal.value.kind == "usage"


def test_results_do_not_depend_on_the_number_of_threads(search, simulated, machine):
    records = simulated(machine(gap=2), count=250, reseed_every=80)
    done = [search(records, **FEW, threads=threads).config for threads in (1, 3)]
    assert done[0].found == done[1].found
    assert [s.not_tried for s in done[0].searches] == [s.not_tried for s in done[1].searches]


def test_a_candidate_pays_for_all_searches_of_the_step(search, simulated, machine):
    done = search(simulated(machine(), count=60), generators=["java"], mappings=["next_int"])
    (found,) = done.config.found
    (its_search,) = (s for s in done.config.searches if s.found)
    own = its_search.log10_hypotheses * np.log(10)
    assert found.log_hypotheses - own >= np.log(len(done.config.searches))


def test_the_page_names_what_was_found_and_what_would_have_been(search, simulated, machine):
    done = search(simulated(machine()), **FEW)
    page = (done.workspace / "forensics" / "window.md").read_text()
    assert "| java | next_int | 0 | 240 of 240 | 0 | 987654321 (scramble) |" in page
    assert "What would have been caught" in page


def hashes(workspace):
    return {path.name: sha256_file(workspace / path) for path in map(Path, OF_ONE_RUN)}


def test_a_stopped_step_leaves_the_files_of_the_run_before_as_they_were(
    search, simulated, machine, monkeypatch
):
    few = {"generators": ["pcg32"], "mappings": ["mod"]}
    done = search(simulated(machine("pcg32", "mod", "stream_54", 5), count=60), **few)
    before = hashes(done.workspace)
    monkeypatch.setattr(step, "stop_requested", lambda: True)
    halted = search(simulated(TRUE, count=60), **few)
    assert halted.result.status == "halted"
    assert hashes(done.workspace) == before


def test_the_document_names_the_files_that_belong_to_it(search, simulated):
    done = search(simulated(TRUE, count=30), generators=["pcg32"], mappings=["mod"])
    now = hashes(done.workspace)
    assert [now[name] for name in OF_ONE_RUN[:3]] == [
        done.config.train_sha256,
        done.config.holdout_sha256,
        done.config.survivors_sha256,
    ]


def test_a_step_that_dies_among_its_files_leaves_none_that_are_taken_for_a_run_s(
    search, simulated, monkeypatch
):
    few = {"generators": ["pcg32"], "mappings": ["mod"]}
    done = search(simulated(TRUE, count=60), **few)

    def full_disk(path, document):
        raise OSError("no space left")

    monkeypatch.setattr(outcome, "write_document", full_disk)
    with pytest.raises(OSError, match="no space"):
        search(simulated(TRUE, count=60, seed=6), **few)
    inputs = {"window": done.workspace / OF_ONE_RUN[3], "train": done.workspace / OF_ONE_RUN[0]}
    with pytest.raises(StepRefused, match=r"train_history\.json: wanted the file that"):
        check_lineage(done.config, inputs, done.workspace)


def test_a_record_from_the_newest_draw_to_the_oldest_is_refused_with_what_it_hides(
    search, simulated, machine
):
    records = [{"draw": one["draw"]} for one in reversed(simulated(machine(gap=2), count=120))]
    with pytest.raises(StepRefused, match="from the newest draw to the oldest") as refused:
        search(records, **FEW)
    assert "java through next_int, gap 2: 96 of 96 draws" in refused.value.message
    in_order = search(records[::-1], **FEW)
    assert in_order.config.found[0].seed == 987_654_321
    assert not any(one.stream.startswith("backward") for one in in_order.survivors)


def test_draws_that_come_round_in_few_values_are_no_generator_s(search):
    records = [{"draw": draw % 2} for draw in range(300)]
    done = search(records, generators=["lcg32"], mappings=["mod"], draw_max=1)
    assert (done.config.found, done.config.cycle) == ((), 2)
    assert all(candidate.score < -np.log(ALPHA) for candidate in done.survivors)
    said = "238 of 238 draws are the same as the draw 2 places before"
    assert said in done.config.headline
    assert said in (done.workspace / "forensics" / "window.md").read_text()
