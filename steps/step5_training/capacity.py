"""Parameters that Step 4 found to fit this table: they hold where nobody has given another one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from steps.contract import Note, StepRequest
from steps.files import sha256_file
from steps.forensics.documents import EngineConfig, read_document

INPUT = "engine_config"


def with_capacity(request: StepRequest) -> tuple[dict[str, Any], tuple[Note, ...]]:
    """The request's parameters over those of the engine config, and a note that names the latter.

    A config that was made for another table is not used; the note says so. Raises StepRefused for
    one that cannot be read.
    """
    if INPUT not in request.inputs:
        return request.params, ()
    path = Path(request.inputs[INPUT])
    config = read_document(path, EngineConfig)
    if sha256_file(Path(request.inputs["survivors"])) != config.sha256:
        message = f"{path.name} is for another table ({config.table}); its parameters are not used"
        return request.params, (Note(level="info", code="capacity_unused", message=message),)
    taken = {
        name: value
        for name, value in config.params.items()
        if name not in request.given and request.params.get(name) != value
    }
    if not taken:
        return request.params, ()
    named = ", ".join(f"{name} {value}" for name, value in taken.items())
    message = f"from {path.name}, where no other value was given: {named}"
    return request.params | taken, (Note(level="info", code="capacity", message=message),)
