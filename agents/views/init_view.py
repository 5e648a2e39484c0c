"""Print what --init made, what it kept, and what to do next."""

from __future__ import annotations

import shlex

from rich.console import Console
from rich.text import Text

from agents.init import LaidOut
from agents.views.screen import pairs


def show_laid_out(console: Console, laid_out: LaidOut) -> None:
    """The whole answer of --init."""
    console.print(Text(f"Workspace {laid_out.folder}", style="bold"), soft_wrap=True)
    rows = [("made", name) for name in laid_out.created]
    rows += [("kept", f"{name} (it was there already)") for name in laid_out.kept]
    pairs(console, rows)
    folder = shlex.quote(str(laid_out.folder))
    console.print(Text("\nNext", style="bold"))
    for line in (f"cd {folder}", "watcher --doctor", "watcher --status"):
        console.print(Text(f"  {line}"), soft_wrap=True)
