"""Print what --doctor found, the obstacles first."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from agents.reports.doctor import DeviceState, Examination, Memory
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
            ("cores", f"{found.cores} usable ({found.cores_reason})"),
            ("memory", _memory_words(found.memory)),
            *(
                (f"disk, {d.what}", f"{d.free_bytes / 1e9:.1f} GB free, {d.folder}")
                for d in found.disks
            ),
        ],
    )
    console.print()
    heading(console, "Devices")
    pairs(console, _device_rows(found.devices))
    bullets(console, [mark("info", note) for note in found.device_notes])
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


def _memory_words(memory: Memory) -> str:
    words = f"{memory.available_mib / 1024:.1f} of {memory.limit_mib / 1024:.1f} GiB available"
    if memory.limited_by != "the machine":
        words += f", limited by {memory.limited_by}"
    if memory.kills:
        words += f"; {memory.kills} processes were killed for lack of memory before"
    return words


def _device_rows(states: Sequence[DeviceState]) -> list[tuple[str, str]]:
    """Each GPU with its UUID, users and lease; of the CPU slots those that are leased."""
    rows: list[tuple[str, str]] = []
    for state in states:
        device = state.device
        name = f"{device.kind}:{device.index}"
        if device.kind == "cpu":
            if state.lease:
                rows.append((name, f"{device.name}, leased by {state.lease}"))
            continue
        rows.append((name, f"{device.name}, {device.free_mib} of {device.total_mib} MiB free"))
        rows.append(("", device.uuid))
        rows += [("", f"used by {words}") for words in state.present]
        rows.append(("", f"leased by {state.lease}" if state.lease else "not leased"))
    slots = [state for state in states if state.device.kind == "cpu"]
    if slots:
        free = sum(state.lease is None for state in slots)
        rows.append(("cpu", f"{free} of {len(slots)} CPU slots are free"))
    return rows
