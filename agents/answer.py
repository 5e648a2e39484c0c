"""What a command answers: for programs, for people, for the shell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from steps.contract import ExitCode


@dataclass(frozen=True, slots=True)
class Answer:
    """document: what --json prints. show: prints the same for people."""

    exit_code: ExitCode
    document: dict[str, Any]
    show: Callable[[Console], None]
