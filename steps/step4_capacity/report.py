"""Step 4's own page, for people: Markdown, the parameters and why."""

from __future__ import annotations

from steps.forensics.documents import REPORTS_FOLDER, EngineConfig

REPORT_FILE = f"{REPORTS_FOLDER}/capacity.md"


def capacity_report(config: EngineConfig) -> str:
    """The page of one run."""
    lines = [
        "# Capacity",
        "",
        f"For `{config.table}`: {config.rows} rows, {config.columns} columns; {config.cpus} cores.",
        "",
        "| parameter of Step 5 | value |",
        "|---|--:|",
        *(f"| {name} | {value} |" for name, value in config.params.items()),
        "",
        *(f"- {reason}" for reason in config.reasons),
        "",
        "A value that a person gives, with --params or in a file, is used instead.",
    ]
    return "\n".join(lines) + "\n"
