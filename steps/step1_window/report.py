"""Say what Step 1 came to: a verdict, a sentence, what to do next, and a page in Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from steps.contract import Note
from steps.forensics.documents import (
    REPORTS_FOLDER,
    CandidateRecord,
    PowerRow,
    SearchRecord,
    WindowConfig,
)
from steps.forensics.power_table import power_table
from steps.step1_window.planned import BACKWARD
from steps.step1_window.power import fewest_draws
from steps.step1_window.settings import WindowSettings
from steps.step1_window.sieve import Sieved

REPORT_FILE = f"{REPORTS_FOLDER}/window.md"

Verdict = Literal["seed found", "nothing found", "insufficient data"]

_MOST_FOUND = 30


def verdict_of(
    found: Sequence[CandidateRecord], power: Sequence[PowerRow], corruption: float
) -> Verdict:
    """The verdict. corruption: the share of wrong draws that is allowed for."""
    if found:
        return "seed found"
    enough = any(row.enough for row in power if row.corruption == corruption)
    return "nothing found" if enough else "insufficient data"


def headline(
    found: Sequence[CandidateRecord],
    explained: int,
    train: int,
    searches: Sequence[SearchRecord],
    power: Sequence[PowerRow],
    settings: WindowSettings,
    cycle: str | None = None,
) -> str:
    """A sentence, and with cycle another one: as cycle_sentence has it."""
    also = "" if cycle is None else f" {cycle}."
    match verdict_of(found, power, settings.corruption):
        case "seed found":
            best = found[0]
            states = "one state" if len(found) == 1 else f"{len(found)} states"
            return (
                f"A generator made {explained} of the {train} draws learnt from: {states} of "
                f"{best.generator}, {best.mapping}, gap {best.gap}."
            )
        case "nothing found":
            made = sum(search.not_tried is None for search in searches)
            return f"No generator found behind {train} draws, in {made:,} searches.{also}"
        case "insufficient data":
            return (
                f"Too few draws: {train} to learn from are not enough for any generator. "
                + _would_do(power, settings)
                + also
            )


def cycle_sentence(values: int, equal: int, compared: int) -> str:
    """What draws that repeat are: as repeats() of steps.prng.recovery.cycles has them."""
    before = "the draw before" if values == 1 else f"the draw {values} places before"
    return (
        f"{equal} of {compared} draws are the same as {before}: a few fixed values that come round "
        "explain that, with or without a generator"
    )


def backward_sentence(found: Sequence[CandidateRecord]) -> str:
    """The best of what was found in streams that were read backward."""
    best = max(found, key=lambda candidate: candidate.score)
    stream = best.stream.removeprefix(BACKWARD)
    return (
        f'read from its last draw to the first, stream "{stream}" is explained by '
        f"{best.generator} through {best.mapping}, gap {best.gap}: {best.matches} of "
        f"{best.compared} draws, {best.score:.0f} nats beyond chance"
    )


def backward_message(path: str, found: Sequence[CandidateRecord]) -> str:
    """Why a record in which machines were found backward alone is not gone on with."""
    return (
        f"{path}: the record seems to run from the newest draw to the oldest: "
        f"{backward_sentence(found)}; in the order of the rows no generator was found. Turn the "
        "rows round, or give them dates, and run from step 0 again"
    )


def what_next(config: WindowConfig, settings: WindowSettings) -> tuple[str, ...]:
    """What a person may do now."""
    match config.verdict:
        case "seed found":
            return ("let Steps 2 to 6 test it on the holdout and predict the next draws",)
        case "insufficient data":
            return (_would_do(config.power, settings),)
        case "nothing found":
            if settings.effort == "deep":
                return ()
            more = "standard" if settings.effort == "quick" else "deep"
            return (f'search longer: --params \'{{"effort": "{more}"}}\'',)


def _would_do(power: Sequence[PowerRow], settings: WindowSettings) -> str:
    row = fewest_draws(power, settings.corruption)
    if row is None or row.draws_wanted is None:
        return "No number of draws would do at this share of wrong ones."
    wanted = draws_in_all(row.draws_wanted, settings.holdout_fraction)
    return (
        f"About {wanted} draws in all would do for {row.generator} {row.mapping}; "
        "other generators want more."
    )


def draws_in_all(wanted: int, holdout_fraction: float) -> int:
    """How long a history must be so that so many draws are left to learn from."""
    return -int(-wanted / (1 - holdout_fraction) // 1)


def window_report(
    config: WindowConfig,
    settings: WindowSettings,
    explained: int,
    sieved: Sieved,
    notes: Sequence[Note],
) -> str:
    """The page of one run. notes: of this step, besides those of the history."""
    facts = config.history
    tried = [search for search in config.searches if search.not_tried is None]
    lines = [
        "# Search for a generator",
        "",
        f"**{config.headline}**",
        "",
        f"Verdict: {config.verdict}. Draws 0 to {config.train - 1} were learnt from, of "
        f"{facts.low} to {facts.low + facts.modulus - 1}; the last {config.holdout} are held out, "
        "and nothing here has looked at them.",
        "",
        f"{len(tried):,} searches held 10^{config.log10_hypotheses:.1f} hypotheses. Each may be "
        "wrong by chance once in a million divided by the number of all searches. Wrong draws "
        f"allowed for: {settings.corruption:.0%}; missing: {settings.missing_rate:.0%}.",
    ]
    if config.found:
        lines += ["", "## Found", "", *window_found(config.found)]
        lines += ["", f"Together they explain {explained} of {config.train} draws."]
    lines += ["", "## What was searched", "", *_searched(config.searches)]
    left_out = Counter(search.not_tried for search in config.searches if search.not_tried)
    if left_out:
        lines += ["", "Not tried:", ""]
        lines += [f"- {count} searches: {why}" for why, count in left_out.most_common(20)]
    lines += ["", "## What would have been caught", "", *power_table(config.power)]
    lines += [
        "",
        "## Survivors",
        "",
        f"{config.survivors} candidates are in survivors.parquet: what was found, the best of "
        "what was not proven, and small seeds with the most matches over the last "
        f"{sieved.window} draws learnt from. Over {sieved.sure} draws, fewer than one in a hundred "
        "of such sieves has a seed that matches all of them by chance. Survivors are no finding: "
        "Step 3 counts what they predict.",
    ]
    for note in (*facts.notes, *notes):
        lines += ["", f"{note.level}: {note.message}"]
    return "\n".join(lines) + "\n"


def window_found(found: Sequence[CandidateRecord]) -> list[str]:
    """The lines of a table of what was found, and what its seeds are worth."""
    lines = [
        "| stream | draws | generator | mapping | gap | matches | missing | seed | nats beyond "
        "chance |",
        "|---|---|---|---|--:|--:|--:|---|--:|",
    ]
    for one in found[:_MOST_FOUND]:
        seed = "not read off" if one.seed is None else f"{one.seed} ({one.seeding})"
        if one.seed is not None and not one.seed_known:
            seed = f"not known; {seed} does the same"
        if one.seed is not None and one.offset:
            seed += f", {one.offset} calls before draw 0"
        lines.append(
            f"| {one.stream} | {one.first} to {one.stop - 1} | {one.generator} | {one.mapping} | "
            f"{one.gap} | {one.matches} of {one.compared} | {one.missing} | {seed} | "
            f"{one.score:.0f} |"
        )
    if len(found) > _MOST_FOUND:
        lines.append(f"\nand {len(found) - _MOST_FOUND} more, in optimal_window_config.json.")
    return [*lines, *_seed_lines(found)]


def _seed_lines(found: Sequence[CandidateRecord]) -> list[str]:
    """What the seeds of the table are worth."""
    lines = []
    if any(one.seed is not None and not one.seed_known for one in found):
        lines += [
            "",
            'A seed that "does the same" gives these draws when the machine is seeded with it at '
            "that place. Some seed does so for every state, so it does not say when, or with what, "
            "the machine was seeded.",
        ]
    for seen in sorted({one.seen_bits for one in found if one.seen_bits is not None}):
        lines += [
            "",
            f"Where the draws depend on the lowest {seen} bits of the state alone, the other bits, "
            "and seeds that differ in them, cannot be told apart.",
        ]
    return lines


def _searched(searches: Sequence[SearchRecord]) -> list[str]:
    """A line for each generator and method."""
    lines = [
        "| generator | method | mappings | searches | largest gap | most seeds | s |",
        "|---|---|---|--:|--:|--:|--:|",
    ]
    groups: dict[tuple[str, str], list[SearchRecord]] = {}
    for search in searches:
        if search.not_tried is None:
            groups.setdefault((search.generator, search.method), []).append(search)
    for (generator, method), group in groups.items():
        mappings = ", ".join(dict.fromkeys(search.mapping for search in group))
        seeds = max((search.seeds or 0) for search in group)
        lines.append(
            f"| {generator} | {method} | {mappings} | {len(group)} | "
            f"{max(search.largest_gap for search in group)} | "
            f"{f'{seeds:,}' if seeds else 'every state'} | "
            f"{sum(search.seconds for search in group):.1f} |"
        )
    return lines
