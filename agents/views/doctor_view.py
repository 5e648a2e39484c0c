"""Print what --doctor found, the obstacles first."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from agents.doctor import Examination
from agents.views.screen import bullets, heading, mark, pairs, plain_table


def show_examination(console: Console, found: Examination) -> None:
    """The whole of --doctor."""
    if found.reasons:
        console.print(Text("A run could not start here:", style="bold red"))
        bullets(console, list(found.reasons))
    else:
        console.print(Text("A run could start here.", style="bold green"))
    if found.warnings:
        bullets(console, [mark("warning", warning) for warning in found.warnings])
    console.print()
    heading(console, "Machine")
    pairs(
        console,
        [
            ("watcher", found.watcher),
            ("python", f"{found.python} ({found.executable})"),
            ("system", found.system),
            ("cores", f"{found.cores} usable"),
            ("memory", f"{found.memory_free_mib / 1024:.1f} GiB available"),
            *(
                (f"disk, {d.what}", f"{d.free_bytes / 1e9:.1f} GB free, {d.folder}")
                for d in found.disks
            ),
        ],
    )
    console.print()
    heading(console, "Devices")
    pairs(
        console,
        [
            (f"{d.kind}:{d.index}", f"{d.name}, {d.free_mib} of {d.total_mib} MiB free")
            for d in found.devices
        ],
    )
    console.print()
    heading(console, "What will run where")
    pairs(console, list(found.placement))
    console.print()
    table = plain_table("library", "found", "wanted", "state")
    for library in found.libraries:
        style = "green" if library.state == "ok" else "bold red"
        state = Text(library.state, style=style)
        table.add_row(library.name, library.found or "-", library.wanted or "any", state)
    console.print(table)
    console.print()
    heading(console, "Workspace")
    pairs(
        console,
        [
            ("policy", found.policy),
            *(("manifest", line) for line in found.manifests or ("none",)),
            ("halt", found.halt or "no"),
            ("watcher at work", str(found.holder) if found.holder else "none"),
        ],
    )
