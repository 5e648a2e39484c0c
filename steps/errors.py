"""The one exception by which a step says, in its own words, why it does not go on."""

from __future__ import annotations

from typing import Literal

ErrorKind = Literal["bad_input", "usage", "out_of_memory", "internal", "blocked"]


class StepRefused(Exception):
    """A step stops for a reason that it knows; becomes the StepError of a failed result.

    kind: as in steps.contract.StepError; bad_input, usage and blocked are never retried.
    message: a sentence that names file, column or key, what was wanted and what was got.
    """

    def __init__(self, kind: ErrorKind, message: str) -> None:
        super().__init__(message)
        self.kind: ErrorKind = kind
        self.message = message
