"""What a search would have caught, as a table that can be taken in at a glance."""

from __future__ import annotations

from collections.abc import Sequence

from steps.forensics.documents import PowerRow


def power_table(power: Sequence[PowerRow]) -> list[str]:
    """Markdown: a line for each generator and method, a column for each share of wrong draws.

    Mappings of which the same is true share a line. A cell has the draws wanted and the largest
    gap that was searched with them; where seeds were tried, how many.
    """
    shares = sorted({row.corruption for row in power})
    cells: dict[tuple[str, str, str], dict[float, str]] = {}
    for row in power:
        cells.setdefault((row.generator, row.method, row.mapping), {})[row.corruption] = _cell(row)
    lines: dict[tuple[str, ...], list[str]] = {}
    for (generator, method, mapping), by_share in cells.items():
        shown = (by_share.get(share, "-") for share in shares)
        lines.setdefault((generator, method, *shown), []).append(mapping)
    return [
        "Draws wanted to learn from, the largest gap and the seeds searched, by the share of wrong "
        "draws; in brackets where there were too few draws, a dash where no search would do.",
        "",
        "| generator | by | mappings | " + " | ".join(f"{share:.0%}" for share in shares) + " |",
        "|---|---|---|" + "--:|" * len(shares),
        *(
            f"| {generator} | {method} | {', '.join(mappings)} | {' | '.join(shown)} |"
            for (generator, method, *shown), mappings in lines.items()
        ),
    ]


def _cell(row: PowerRow) -> str:
    if row.draws_wanted is None:
        return "-"
    cell = f"{row.draws_wanted:,}, gap {row.largest_gap}"
    if row.seeds is not None:
        cell += f", {_count(row.seeds)} seeds"
    return cell if row.enough else f"({cell})"


def _count(number: int) -> str:
    power = number.bit_length() - 1
    return f"2^{power}" if number == 1 << power else f"{number:,}"
