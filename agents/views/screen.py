"""Consoles for results (stdout) and messages (stderr), and the few styles that views share.

Nothing depends on colour: every mark has its word. Line lengths fit 80 columns.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from typing import Any, TextIO, cast

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

SEVERITY_STYLE = {"ok": "green", "info": "cyan", "warning": "yellow", "critical": "bold red"}
STATE_STYLE = {
    "running": "cyan",
    "complete": "green",
    "failed": "red",
    "halted": "yellow",
    "interrupted": "yellow",
    "waiting": "yellow",
    "refused": "yellow",
}


def console_for(stream: TextIO) -> Console:
    """A console on a stream; NO_COLOR, TERM and COLUMNS are honoured by rich itself."""
    return Console(file=stream, highlight=False, markup=False, emoji=False)


def message_console() -> Console:
    """Where messages and progress go; if nobody reads them any more, the work goes on."""
    return console_for(cast(TextIO, _Unbreakable(sys.stderr)))


def render(show: Callable[[Console], None]) -> str:
    """What `show` prints on stdout, as one text with its colours."""
    # A capture touches its stream all the same: a terminal that has gone must not fail here.
    console = console_for(cast(TextIO, _Unbreakable(sys.stdout)))
    with console.capture() as capture:
        show(console)
    # Columns are padded to their width; nobody wants that in a file.
    return "\n".join(line.rstrip() for line in capture.get().split("\n"))


def plain_table(*headers: str, right: tuple[str, ...] = ()) -> Table:
    """A table without vertical lines. right: headers whose columns align right."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for header in headers:
        aligned = "right" if header in right else "left"
        table.add_column(header, justify=aligned, overflow="fold")  # type: ignore[arg-type]
    return table


def pairs(console: Console, rows: list[tuple[str, str]], indent: int = 2) -> None:
    """Names and values in two columns; long values wrap under themselves."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in rows:
        grid.add_row(" " * indent + name, value)
    console.print(grid)


def mark(severity: str, text: str) -> Text:
    """A text whose first word says how serious it is."""
    word = {"ok": "ok", "info": "note", "warning": "warning", "critical": "CRITICAL"}[severity]
    return Text.assemble((word, SEVERITY_STYLE[severity]), f"  {text}")


def first_line(text: str, whole: str) -> str:
    """The first line of a text; if there are more, with the place where the whole text is."""
    lines = text.strip().splitlines()
    return f"{lines[0]} ... (the whole text: {whole})" if len(lines) > 1 else text


def heading(console: Console, text: str, style: str = "bold") -> None:
    """A line that opens a part."""
    console.print(Text(text, style=style))


def bullets(console: Console, lines: list[Text | str], sign: str = "-") -> None:
    """A list whose long lines wrap under their own text."""
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for line in lines:
        grid.add_row(f"  {sign}", line)
    console.print(grid)


class _Unbreakable:
    """A stream that lets what it cannot write go: a closed terminal must not end a training."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
