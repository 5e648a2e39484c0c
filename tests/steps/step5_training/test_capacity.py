"""Step 4's parameters hold for its own table, and only where nobody gave others."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from steps.contract import StepRequest
from steps.errors import StepRefused
from steps.files import sha256_file
from steps.forensics.documents import EngineConfig, write_document
from steps.step5_training.capacity import with_capacity


@pytest.fixture
def asked(tmp_path):
    """A request with a table and Step 4's file beside it."""
    table, path = tmp_path / "table.csv", tmp_path / "reinforcement_engine_config.json"
    table.write_text("a,b\n1,2\n")

    def ask(*given, sha256=None, **params):
        config = EngineConfig(
            run_id="r",
            created_at=datetime(2026, 11, 22, tzinfo=UTC),
            table="table.csv",
            sha256=sha256 or sha256_file(table),
            rows=1,
            columns=2,
            cpus=2,
            time_budget_minutes=None,
            params={"trials": 12, "epochs": 40},
            reasons=(),
        )
        write_document(path, config)
        return StepRequest(
            run_id="r",
            step=5,
            attempt=1,
            params={"trials": 50, "epochs": 60, "seed": 0} | params,
            given=given,
            inputs={"survivors": str(table), "engine_config": str(path)},
            workspace=str(tmp_path),
            policy_path="",
            out_dir=str(tmp_path),
        )

    return ask


def test_step_4_sets_what_nobody_has_given_and_it_is_said(asked):
    params, (note,) = with_capacity(asked())
    assert params == {"trials": 12, "epochs": 40, "seed": 0}
    assert note.message.endswith("no other value was given: trials 12, epochs 40")


def test_what_a_person_or_a_retry_gave_holds(asked):
    params, (note,) = with_capacity(asked("trials", trials=3))
    assert params == {"trials": 3, "epochs": 40, "seed": 0}
    assert "trials" not in note.message


def test_nothing_is_said_where_nothing_changes(asked):
    request = asked("trials", "epochs")
    assert with_capacity(request) == (request.params, ())


def test_parameters_for_another_table_are_not_used_and_it_is_said(asked):
    request = asked(sha256="0" * 64)
    params, (note,) = with_capacity(request)
    assert params == request.params
    assert "for another table (table.csv)" in note.message


def test_a_broken_file_is_refused_by_name(asked, tmp_path):
    request = asked()
    (tmp_path / "reinforcement_engine_config.json").write_text('{"run_id": 1}')
    with pytest.raises(StepRefused, match=r"reinforcement_engine_config\.json"):
        with_capacity(request)
