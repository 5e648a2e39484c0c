"""Answers of searches, kept in the workspace so that a run goes on where an earlier one ended."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from steps.contract import Frozen
from steps.files import sha256_text, write_text_atomic
from steps.prng.recovery.found import Found

FOLDER = "forensics/search"
# What takes less is sooner made again than written.
WORTH_KEEPING_S = 0.2
# Changes where a search would find another answer than it did: old ones are then not read.
_EDITION = 2

log = logging.getLogger(__name__)


class Answer(Frozen):
    """What one search came to, held against the draws that it was given.

    best: found or not. proven: beyond chance, as that search alone. log_hypotheses: its own.
    refusal: why it could not be made, with draws_wanted where more draws would do. seeds: tested.
    next_block: where a search of seeds goes on; complete: that it need not.
    """

    edition: Literal[1] = 1
    best: Found | None = None
    proven: bool = False
    log_hypotheses: float = 0.0
    candidates: int = 0
    refusal: str | None = None
    draws_wanted: int | None = None
    seeds: int | None = None
    next_block: int = 0
    complete: bool = False
    seconds: float = 0.0


class AnswerStore:
    """One file an answer, by the digest of the exact question."""

    def __init__(self, folder: Path, worth_keeping_s: float = WORTH_KEEPING_S) -> None:
        self._folder = folder
        self._worth_keeping_s = worth_keeping_s
        self._used: set[Path] = set()
        self.set_aside: list[str] = []

    def load(self, question: str) -> Answer | None:
        """The answer to a question, None where there is none. A file that cannot be read, or is of
        another question, is set aside as *.corrupt; set_aside says so.
        """
        path = self._path(question)
        self._used.add(path)
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError):
            text = ""
        asked, _, answer = text.partition("\n")
        try:
            if asked == question:
                return Answer.model_validate_json(answer)
        except ValidationError:
            pass
        aside = path.with_suffix(".corrupt")
        path.replace(aside)
        self.set_aside.append(f"{aside.name} could not be read, and its search was made again")
        log.warning("%s", self.set_aside[-1])
        return None

    def keep(self, question: str, answer: Answer) -> None:
        """Write an answer, or where a search stands, atomically; not what cost next to nothing."""
        if answer.seconds >= self._worth_keeping_s or not answer.complete:
            write_text_atomic(self._path(question), f"{question}\n{answer.model_dump_json()}\n")

    def forget_others(self) -> None:
        """Delete answers that nobody has asked for in this run."""
        for path in self._folder.glob("*.json"):
            if path not in self._used:
                path.unlink(missing_ok=True)

    def _path(self, question: str) -> Path:
        return self._folder / f"{sha256_text(f'{_EDITION} {question}')[:32]}.json"
