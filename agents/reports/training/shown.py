"""Training diagnostics as they may be shown: no secret, and no character that acts on a screen."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from agents.secrets import mask, mask_text, secrets_in
from steps.contract.diagnostics import TrainingDiagnostics

# Under these keys are values by parameter name, and a name may say that its value is a secret.
_BY_NAME = frozenset({"params", "change"})
_KEPT = frozenset("\n\t")


def shown_diagnostics(
    diagnostics: TrainingDiagnostics, secrets: Collection[str] = ()
) -> TrainingDiagnostics:
    """A copy to show. secrets: texts that must not be in it; those of its own parameters never are.

    Numbers, names of features and shapes stay as they are.
    """
    run = diagnostics.run
    hidden = frozenset(secrets) | (secrets_in(run.params) if run is not None else frozenset())
    document = _shown(diagnostics.model_dump(mode="json"), "", hidden)
    return TrainingDiagnostics.model_validate(document)


def readable(text: str) -> str:
    """A text without control characters, which could move a cursor or colour a terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in _KEPT else "�" for c in text)


def _shown(value: Any, key: str, secrets: Collection[str]) -> Any:
    match value:
        case str():
            return readable(mask_text(value, secrets))
        case dict() if key in _BY_NAME:
            return _shown(mask(value, "", secrets), "", secrets)
        case dict():
            return {readable(k): _shown(item, k, secrets) for k, item in value.items()}
        case list() if value and isinstance(value[0], float | int):
            return value  # thousands of numbers hide nothing
        case list():
            return [_shown(item, "", secrets) for item in value]
        case _:
            return value
