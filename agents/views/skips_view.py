"""Print how each family stands with the skip registry."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from agents.reports.skips import Skips
from agents.views.screen import mark, pairs


def show_skips(console: Console, found: Skips) -> None:
    """The whole of --skip-status."""
    pairs(console, [(family, _words(found, family)) for family in found.families], indent=0)
    console.print()
    policy = found.policy
    rule = (
        f"A family is left out for {policy.hours:g} hours after {policy.after_critical} critical "
        "results in a row"
    )
    if not policy.enabled:
        rule = "skip.enabled is false in the policy: no family is left out, whatever is counted"
    console.print(Text(f"{rule} (policy: skip). Counted in {found.file}"), soft_wrap=True)
    for fault in found.standings.faults:
        console.print(mark("warning", f"{fault}; the next run sets it right"), soft_wrap=True)


def _words(found: Skips, family: str) -> str:
    entry, skip = found.standings.entries.get(family), found.standings.skips.get(family)
    if skip is not None:
        return skip.reason
    if entry is None:
        return "may train; no run has counted it"
    last = entry.last_critical
    if last is None:
        return f"may train; was not critical in run {entry.last_run_id}"
    return f"may train; {entry.told}, the last in run {last.run_id}: {last.finding}"
