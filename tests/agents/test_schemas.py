"""The JSON Schemas in docs/schemas are those of the models, and the shipped files obey them."""

import json
from pathlib import Path

import jsonschema
import pytest

from agents.schemas import SCHEMAS, schema_text

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = [ROOT / "watcher_policies.json", *sorted((ROOT / "agent_manifests").glob("*.json"))]


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_schema_file_is_in_step_with_its_model(name):
    written = (ROOT / "docs" / "schemas" / name).read_text("utf-8")
    assert written == schema_text(name), "run `python -m agents.schemas`"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_shipped_file_names_a_schema_that_is_there_and_obeys_it(path):
    document = json.loads(path.read_text("utf-8"))
    schema_path = path.parent / document["$schema"]
    assert schema_path.is_file()
    schema = json.loads(schema_path.read_text("utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(document, schema, jsonschema.Draft202012Validator)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("watcher_policies.json", {"hatl": True}),
        ("watcher_policies.json", {"retries": {"max_per_step": -1}}),
        ("agent_manifests/reinforcement.json", {"step": "five"}),
        ("agent_manifests/reinforcement.json", {"parameter_bounds": {"x": {"type": "float"}}}),
    ],
)
def test_schema_refuses_what_the_model_refuses(name, change):
    document = json.loads((ROOT / name).read_text("utf-8"))
    schema = json.loads((ROOT / name).parent.joinpath(document["$schema"]).read_text("utf-8"))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**document, **change}, schema, jsonschema.Draft202012Validator)
