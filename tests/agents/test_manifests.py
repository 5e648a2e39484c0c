"""Manifests are read whole or refused with path and key."""

import json

import pytest

from agents.errors import ManifestError
from agents.manifests import load_manifest, load_manifests
from agents.workspace import MANIFESTS_FOLDER, packaged

GOOD = {
    "step": 3,
    "agent_name": "scoring",
    "module": "steps.step3_scoring",
    "inputs": [{"name": "table", "param": "table", "candidates": ["table.csv"]}],
    "outputs": ["out/table.parquet"],
    "default_params": {"rows": 5},
    "parameter_bounds": {
        "rows": {"type": "integer", "min": 1, "max": 9, "default": 2},
        "table": {"type": "string", "nullable": True, "default": None},
    },
}


@pytest.fixture
def refused(tmp_path):
    """The message that a manifest with these changes is refused with."""

    def refuse(text: str | None = None, **changes) -> str:
        path = tmp_path / "scoring.json"
        path.write_text(json.dumps({**GOOD, **changes}) if text is None else text)
        with pytest.raises(ManifestError) as caught:
            load_manifest(path)
        assert str(path) in str(caught.value)
        return str(caught.value)

    return refuse


def test_shipped_manifests_are_good():
    manifests = load_manifests(packaged(MANIFESTS_FOLDER))
    assert 5 in [manifest.step for manifest in manifests]


def test_good_manifest_is_read(tmp_path):
    path = tmp_path / "scoring.json"
    path.write_text(json.dumps(GOOD))
    assert load_manifest(path).parameter_bounds["rows"].default == 2


def test_unknown_key_is_named(refused):
    assert "tiemout: unknown key" in refused(tiemout=3)


def test_unknown_key_in_a_bound_is_named(refused):
    bound = {"type": "boolean", "default": True, "max": 3}
    assert "max: unknown key" in refused(
        parameter_bounds={**GOOD["parameter_bounds"], "flag": bound}
    )


@pytest.mark.parametrize(
    "path", ["../out.txt", "/etc/passwd", "a/../../b", "~/x", "", "a\\b", "a\0b"]
)
def test_output_outside_the_workspace_is_refused(refused, path):
    assert "outputs.0" in refused(outputs=[path])


@pytest.mark.parametrize("path", ["../in.csv", "/data/in.csv"])
def test_candidate_outside_the_workspace_is_refused(refused, path):
    assert "candidates.0" in refused(inputs=[{"name": "table", "candidates": [path]}])


@pytest.mark.parametrize(
    "module", ["os", "os.system", "agents.cli", "steps", "steps..x", "steps.x; rm -rf /", "steps/x"]
)
def test_module_outside_steps_is_refused(refused, module):
    assert "module" in refused(module=module)


def test_action_module_is_held_to_the_same_rule(refused):
    assert "actions.predict" in refused(actions={"predict": "os.path"})


def test_default_out_of_bounds_is_named(refused):
    bounds = {**GOOD["parameter_bounds"], "rows": {"type": "integer", "max": 9, "default": 10}}
    assert "parameter_bounds.rows.default must be at most 9, got 10" in refused(
        parameter_bounds=bounds
    )


def test_default_param_out_of_bounds_is_named(refused):
    assert "default_params.rows must be 1..9, got 0" in refused(default_params={"rows": 0})


def test_default_param_that_is_not_declared_is_named(refused):
    assert "default_params.cols" in refused(default_params={"cols": 1})


def test_boolean_is_no_integer_default(refused):
    bounds = {**GOOD["parameter_bounds"], "rows": {"type": "integer", "default": True}}
    assert "parameter_bounds.rows" in refused(parameter_bounds=bounds)


def test_bounds_the_wrong_way_round_are_refused(refused):
    bounds = {
        **GOOD["parameter_bounds"],
        "rows": {"type": "integer", "min": 9, "max": 1, "default": 5},
    }
    assert "min must be at most max" in refused(parameter_bounds=bounds)


def test_input_param_must_be_a_declared_text(refused):
    assert "must name a string parameter" in refused(
        inputs=[{"name": "table", "param": "rows", "candidates": []}]
    )


def test_deep_json_is_refused(refused):
    assert "nested deeper" in refused('{"default_params": ' + "[" * 5000 + "]" * 5000 + "}")
    assert "nested deeper" in refused(
        default_params={"rows": [[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]}
    )


def test_huge_file_is_refused(refused):
    assert "at most" in refused('{"title": "' + "x" * (1 << 20) + '"}')


def test_duplicate_key_is_refused(refused):
    assert "'step' is given twice" in refused('{"step": 1, "step": 2}')


def test_half_a_file_is_refused_with_its_place(refused):
    assert "line 2, column" in refused('{"step":\n')


@pytest.mark.parametrize("text", ["[]", "3", "null", '"x"'])
def test_other_than_an_object_is_refused(refused, text):
    assert "must be an object" in refused(text)


def test_nan_is_refused(refused):
    assert "finite" in refused('{"timeout_minutes": NaN}')
    assert "timeout_minutes" in refused(json.dumps(GOOD)[:-1] + ', "timeout_minutes": 1e999}')


def test_two_manifests_of_one_step_are_both_named(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.json").write_text(json.dumps(GOOD))
    with pytest.raises(ManifestError) as caught:
        load_manifests(tmp_path)
    assert "b.json" in str(caught.value)
    assert "a.json" in str(caught.value)


def test_empty_folder_is_refused(tmp_path):
    with pytest.raises(ManifestError, match="at least one manifest"):
        load_manifests(tmp_path)
