from __future__ import annotations

import pytest
from pydantic import ValidationError

from gpu.params import FAMILIES, SHELL_DEFAULTS, UnknownParameter, complete_params, decode_params


@pytest.mark.parametrize("family", FAMILIES)
def test_a_stored_record_decodes_to_itself(family):
    params = complete_params(family, {})
    assert decode_params(family, params.model_dump(mode="json")) == params


@pytest.mark.parametrize("family", FAMILIES)
def test_a_record_with_a_missing_parameter_is_refused(family):
    record = dict(SHELL_DEFAULTS[family])
    record.pop("learning_rate")
    with pytest.raises(ValidationError, match="learning_rate"):
        decode_params(family, record)


def test_an_unknown_parameter_is_refused_with_the_nearest_name():
    with pytest.raises(UnknownParameter, match="did you mean 'num_leaves'"):
        complete_params("lightgbm", {"num_leafs": 31})


def test_a_value_out_of_range_is_refused():
    with pytest.raises(ValidationError, match="dropout"):
        complete_params("neural_net", {"dropout": 1.0})
