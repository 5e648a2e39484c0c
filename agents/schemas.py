"""Write the JSON Schemas of manifests and policies from the models that read them.

python -m agents.schemas            writes docs/schemas/*.schema.json of the checkout
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pydantic import BaseModel

from agents.manifests import Manifest
from agents.workspace import IMPORT_ROOT
from steps.files import write_text_atomic
from steps.policies import Policy

SCHEMAS: dict[str, type[BaseModel]] = {
    "manifest.schema.json": Manifest,
    "policies.schema.json": Policy,
}


def schema_text(name: str) -> str:
    """The text of one schema file."""
    schema = SCHEMAS[name].model_json_schema(by_alias=True)
    document = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def write_schemas(folder: Path) -> list[Path]:
    """Write every schema into `folder`; returns the files."""
    for name in SCHEMAS:
        write_text_atomic(folder / name, schema_text(name))
    return [folder / name for name in SCHEMAS]


if __name__ == "__main__":
    for path in write_schemas(IMPORT_ROOT / "docs" / "schemas"):
        print(path, file=sys.stdout)
