"""Read back from the ledger what a run asked a person for, and the answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

_ANSWERS = {"approved": "given", "rejected": "refused", "withdrawn": "taken back"}


@dataclass(frozen=True, slots=True)
class Approval:
    """What the run asked a person for. answer: approved, rejected or withdrawn.

    answer, answered_at, by: None while it waits.
    """

    step: int | None
    what: str
    asked_at: datetime
    answer: str | None
    answered_at: datetime | None
    by: str | None
    note: str

    @property
    def answered(self) -> str:
        """The answer and who gave it, for people; "" while it waits."""
        return f"{_ANSWERS[self.answer]} by {self.by}" if self.answer is not None else ""


def read_approval(row: Mapping[str, Any]) -> Approval:
    """A question and its answer from its row."""
    answered_at = row["answered_at"]
    return Approval(
        step=row["step"],
        what=row["what"],
        asked_at=datetime.fromisoformat(row["asked_at"]),
        answer=row["answer"],
        answered_at=datetime.fromisoformat(answered_at) if answered_at else None,
        by=row["answered_by"],
        note=row["note"],
    )
