from __future__ import annotations

import pytest
from pydantic import model_validator

from steps.errors import StepRefused
from steps.forensics.intake import IntakeOptions
from steps.forensics.settings import IntakeSettings, StepSettings, read_settings


class Pair(StepSettings):
    low: int = 0
    high: int = 9

    @model_validator(mode="after")
    def _ordered(self):
        if self.low > self.high:
            raise ValueError(f"low must be at most high, got {self.low} and {self.high}")
        return self


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"lw": 3}, "lw: unknown key"),
        ({"low": "x"}, "low: .*integer.*'x'"),
        ({"low": 10}, "^low must be at most high, got 10 and 9$"),
    ],
)
def test_parameters_that_make_no_sense_are_named(params, told):
    with pytest.raises(StepRefused, match=told) as refused:
        read_settings(Pair, params)
    assert refused.value.kind == "usage"


def test_what_a_step_is_told_about_a_history_reaches_the_reader():
    given = {
        "draw_column": "ball",
        "date_column": "",
        "session_column": "s",
        "draw_min": 1,
        "draw_max": 26,
        "session_order": ["a", "b"],
    }
    settings = read_settings(IntakeSettings, {"draw_history": "x.csv", **given})
    assert settings.intake() == IntakeOptions(**{**given, "session_order": ("a", "b")})
