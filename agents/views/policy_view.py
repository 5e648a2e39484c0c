"""Print the policy in force: what differs from the shipped defaults first to the eye."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from agents.reports.policy_keys import PolicyKey
from agents.views.screen import plain_table
from steps.strict_json import shown


def show_policy(console: Console, path: Path, keys: Sequence[PolicyKey]) -> None:
    """The whole of --policies-check."""
    console.print(Text(f"{path}: in order", style="bold"), soft_wrap=True)
    console.print()
    table = plain_table("key", "in force", "a change acts")
    for key in keys:
        if key.key == "retries.remedies":
            value = f"{len(key.value)} rules"
        else:
            value = shown(key.value, width=80)
        style = "bold yellow" if key.changed else ""
        table.add_row(key.key, Text(value, style=style), key.acts)
    console.print(table)
    changed = sum(key.changed for key in keys)
    console.print()
    console.print(Text(f"{changed} of {len(keys)} keys differ from the code's defaults"))
