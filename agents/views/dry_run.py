"""Print what a run would do: each step, why, with which inputs, and where each value comes from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from agents.durations import words
from agents.inputs import FoundInput, missing
from agents.parameters import masked_parameters
from agents.plan import Plan, PlannedStep
from agents.secrets import mask_text
from agents.views.screen import heading, pairs, plain_table
from steps.strict_json import shown


def show_plan(
    console: Console,
    plan: Plan,
    found: Sequence[Sequence[FoundInput]],
    would: Sequence[str],
    obstacles: Sequence[str],
) -> None:
    """The plan for people.

    found: the inputs of each planned step; would: whether it would run, and why; obstacles: why the
    plan cannot start.
    """
    for obstacle in obstacles:
        console.print(Text.assemble(("cannot start: ", "bold red"), obstacle), soft_wrap=True)
    for planned, inputs, fate in zip(plan.steps, found, would, strict=True):
        _show_step(console, planned, inputs, fate)
    console.print(Text("\nDry run: nothing was started.", style="bold"))


def _show_step(
    console: Console, planned: PlannedStep, inputs: Sequence[FoundInput], fate: str
) -> None:
    manifest = planned.manifest
    console.print()
    heading(console, f"Step {manifest.step}: {manifest.agent_name}")
    rows = [
        ("what", manifest.title or "-"),
        ("why", planned.reason),
        ("would", fate),
        ("module", manifest.module),
        ("limit", f"{words(planned.limit_s)} ({planned.limit_origin})"),
    ]
    for item in inputs:
        where = f"found {item.path}" if item.path else f"MISSING: {mask_text(missing(item))}"
        rows.append((f"input {item.spec.name}", where))
    rows += [("output", path) for path in manifest.outputs]
    pairs(console, rows)
    console.print()
    table = plain_table("parameter", "value", "from")
    for parameter in masked_parameters(planned.parameters):
        style = "" if parameter.origin == "default" else "bold"
        value = shown(parameter.value, width=200)
        table.add_row(parameter.name, Text(value, style=style), parameter.origin)
    console.print(table)


def plan_document(
    plan: Plan,
    found: Sequence[Sequence[FoundInput]],
    would: Sequence[str],
    obstacles: Sequence[str],
) -> dict[str, Any]:
    """The plan for programs."""
    return {
        "start_step": plan.start,
        "end_step": plan.end,
        "obstacles": list(obstacles),
        "steps": [
            {
                "step": planned.manifest.step,
                "agent_name": planned.manifest.agent_name,
                "title": planned.manifest.title,
                "reason": planned.reason,
                "would": fate,
                "module": planned.manifest.module,
                "limit_s": planned.limit_s,
                "limit_origin": planned.limit_origin,
                "inputs": {
                    item.spec.name: {
                        "found": item.path is not None,
                        "path": str(item.path) if item.path else None,
                        "required": item.spec.required,
                        "searched": [mask_text(str(path)) for path in item.searched],
                    }
                    for item in inputs
                },
                "outputs": list(planned.manifest.outputs),
                "parameters": {
                    p.name: {"value": p.value, "origin": p.origin}
                    for p in masked_parameters(planned.parameters)
                },
            }
            for planned, inputs, fate in zip(plan.steps, found, would, strict=True)
        ],
    }
