"""Write the JSON Schemas, and the docs' table of policy keys, from the models that read them.

python -m agents.schemas    writes docs/schemas/*.schema.json and the table in docs of the checkout
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pydantic import BaseModel

from agents.manifests import Manifest
from agents.reports.policy_keys import policy_table
from agents.workspace import IMPORT_ROOT
from steps.contract.diagnostics import FamilyPart, TrainingDiagnostics
from steps.files import write_text_atomic
from steps.policies import Policy

POLICY_PAGE = "chapter-12-watcher.md"
_BEGIN = "<!-- policy keys: written by `python -m agents.schemas` -->"
_END = "<!-- end of policy keys -->"

SCHEMAS: dict[str, type[BaseModel]] = {
    "manifest.schema.json": Manifest,
    "policies.schema.json": Policy,
    "training_diagnostics.schema.json": TrainingDiagnostics,
    "family_diagnostics.schema.json": FamilyPart,
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


def with_policy_keys(text: str) -> str:
    """A page of docs with its table of policy keys made anew; raises ValueError without a place."""
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"the page must hold the lines {_BEGIN!r} and {_END!r}")
    return f"{before}{begin}\n{policy_table()}{end}{after}"


if __name__ == "__main__":
    page = IMPORT_ROOT / "docs" / POLICY_PAGE
    write_text_atomic(page, with_policy_keys(page.read_text(encoding="utf-8")))
    for path in (*write_schemas(IMPORT_ROOT / "docs" / "schemas"), page):
        print(path, file=sys.stdout)
