"""The sentences in which a verdict is told."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from steps.forensics.candidates import state_of
from steps.forensics.documents import (
    CandidateRecord,
    HypothesisTest,
    PowerRow,
    WindowConfig,
)
from steps.prng.recovery.found import ALPHA
from steps.step6_prediction.following import Followed

_LEAST_SHOWN = 1e-300
_SHOWN_LENGTHS = 8
_REASONS = 3


def machine(source: CandidateRecord) -> str:
    """The generator in words: "java through next_int, gap 2"."""
    gap = f", gap {source.gap}" if source.gap else ""
    return f"{source.generator} through {source.mapping}{gap}"


def explained(source: CandidateRecord) -> str:
    """Which draws a source explains."""
    of = "" if source.stream == "all" else f' of stream "{source.stream}"'
    lost = f", with {source.missing} draws missing from the record" if source.missing else ""
    return (
        f"draws {source.first} to {source.stop - 1}{of}: {source.matches} of {source.compared} "
        f"match{lost}"
    )


def p_text(p_value: float) -> str:
    """A p-value, "under 1e-300" where it is too small to be told."""
    return "under 1e-300" if p_value < _LEAST_SHOWN else f"{p_value:.2g}"


def hypotheses_text(tried: int | None, log10: float) -> str:
    """How many hypotheses: "36,000" or "10^19.3"."""
    return f"{tried:,}" if tried is not None and log10 < 9 else f"10^{log10:.1f}"


def seed_sentence(source: CandidateRecord) -> str:
    """Where the source began."""
    if source.seed is not None and source.offset is not None:
        return (
            f"It was begun with the seed {source.seed} ({source.seeding}); draw 0 is call "
            f"{source.offset} after that."
        )
    if source.seed is not None:
        return f"It was begun with the seed {source.seed} ({source.seeding}), after draw 0."
    words = state_of(source)[0].tolist()
    shown = ", ".join(str(word) for word in words[:4]) + (", ..." if len(words) > 4 else "")
    return (
        f"Its state before draw {source.first} is {shown}; from what seed it came there is not "
        "known."
    )


def seed_sentences(
    followed: Followed, others: Sequence[Followed], window: WindowConfig
) -> tuple[str, ...]:
    """What was found, why it is no chance, and how it did on the draws held back."""
    source = followed.source
    searched = followed.recorded.log_hypotheses / math.log(10)
    # By Markov's inequality, see steps.prng.recovery.found.
    chance = -followed.score / math.log(10)
    said = [
        f"{machine(source)} explains {explained(source)}.",
        seed_sentence(source),
    ]
    said.append(
        f"That chance alone explains so many draws has a probability of at most 10^{chance:.0f}; "
        f"what was searched has been paid for with a factor of 10^{searched:.1f}."
    )
    total = hypotheses_text(window.hypotheses_tried, window.log10_hypotheses)
    said.append(f"{total} hypotheses were tried in all.")
    if followed.holdout_trials:
        chosen = (
            f", for the {followed.looked_at} candidates among which it stood out"
            if followed.looked_at > 1
            else ""
        )
        said.append(
            f"Of the {followed.holdout_trials} draws held back {followed.holdout_hits} were "
            f"foretold from train alone; chance gives "
            f"{followed.holdout_trials / source.modulus:.2g} (exact binomial test, p "
            f"{p_text(followed.p_value)}{chosen})."
        )
    said += [
        f"Beyond chance, too: {machine(other.source)} explains {explained(other.source)}; it "
        + ("goes on." if other.goes_on else "has ended.")
        for other in others
    ]
    return tuple(said)


def ended_sentence(followed: Followed) -> str:
    """Why nothing is predicted."""
    return (
        f"It no longer predicts: the probability that it is still at work is "
        f"{followed.alive:.2g}. The machine was seeded anew after draw "
        f"{followed.source.stop - 1}, or another has taken its place."
    )


def confidence_sentence(value: int, confidence: float, followed: Followed, hazard: float) -> str:
    """What the probability of the next draw is made of."""
    return (
        f"The next draw is {value} with a probability of {confidence:.4g}: the source has made "
        f"the last draw with {followed.alive:.4g}, ends before the next with {hazard:.2g}, and of "
        f"its draws a share of {followed.wrong:.2g} is expected to be replaced by something else."
    )


def lasted_sentences(before: Sequence[Followed], age: int) -> tuple[str, ...]:
    """How long the sources before lasted, where there were any."""
    ended = [one.source.stop - one.source.first for one in before if not one.goes_on]
    if not ended:
        return ()
    shown = ", ".join(str(length) for length in sorted(ended)[-_SHOWN_LENGTHS:])
    return (f"The sources before it lasted {shown} draws; this one has made {age} so far.",)


def search_sentence(window: WindowConfig) -> str:
    """What was searched without success."""
    tried = [search for search in window.searches if search.not_tried is None]
    total = hypotheses_text(window.hypotheses_tried, window.log10_hypotheses)
    best = max((s.best_score for s in tried if s.best_score is not None), default=None)
    scored = (
        f"; the best has {best:.1f} nats, and {-math.log(ALPHA):.1f} are asked for"
        if best is not None
        else ""
    )
    return (
        f"{_searches(len(tried))} tried {total} hypotheses, and none explains the draws beyond "
        f"chance{scored}."
    )


def unmade_sentences(window: WindowConfig) -> tuple[str, ...]:
    """How many searches were planned and not made, and the commonest reasons."""
    # What follows the colon differs from search to search.
    reasons = Counter(s.not_tried.partition(":")[0] for s in window.searches if s.not_tried)
    if not reasons:
        return ()
    shown = "; ".join(f"{reason} ({count})" for reason, count in reasons.most_common(_REASONS))
    return (f"{_searches(reasons.total())} more could not be made: {shown}.",)


def tested(test: HypothesisTest) -> str:
    """A test with its corrected p-value."""
    p_values = f"p {p_text(test.p_value)}, corrected {p_text(test.p_corrected)}"
    return f"{test.sentence[:1].upper()}{test.sentence[1:]} ({p_values})."


def power_sentences(window: WindowConfig) -> tuple[str, ...]:
    """Which generators would have been caught, up to what share of wrong draws, and which not.

    What algebra catches it catches in any state; a search of seeds, among the seeds tried alone.
    Only searches that were made count, whatever was planned.
    """
    borne: dict[tuple[str, str, str], float] = {}
    for search in window.searches:
        if search.not_tried is None and search.complete:
            made = search.generator, search.mapping, search.method
            borne[made] = max(borne.get(made, 0.0), search.corruption)
    said = []
    caught: set[tuple[str, str]] = set()
    for method, limit in (("algebra", "in any state"), ("seeds", "from one of the seeds tried")):
        most: dict[tuple[str, str], float] = {}
        for row in window.power:
            key = _key(row)
            held = row.method == method and row.enough and key not in caught
            if held and row.corruption <= borne.get((*key, method), -1.0):
                most[key] = max(most.get(key, 0.0), row.corruption)
        caught |= most.keys()
        for share in sorted(set(most.values()), reverse=True):
            wrong = f" with up to {share:.0%} of the draws wrong" if share else ""
            laws = _laws([key for key, value in most.items() if value == share])
            said.append(f"It would have caught, {limit}{wrong}: {laws}.")
    missed = [key for key in dict.fromkeys(_key(row) for row in window.power) if key not in caught]
    looked_for = {(generator, mapping) for generator, mapping, _ in borne}
    too_few = [key for key in missed if key in looked_for]
    unsought = [key for key in missed if key not in looked_for]
    if too_few:
        said.append(f"It was looked for, and could not have been caught: {_laws(too_few)}.")
    if unsought:
        said.append(f"Not looked for in full: {_laws(unsought)}.")
    said.append("Other generators, and seeds that were not tried, are not ruled out.")
    return tuple(said)


def draws_wanted(window: WindowConfig) -> int | None:
    """The fewest draws, held back ones too, with which a search could be made that could not be
    now; None where no number would do.
    """
    rows = [row.draws_wanted for row in window.power if not row.enough]
    wanted = [n for n in (*rows, *(s.draws_wanted for s in window.searches)) if n is not None]
    if not wanted:
        return None
    return math.ceil(min(wanted) * (window.train + window.holdout) / max(window.train, 1))


def _key(row: PowerRow) -> tuple[str, str]:
    return row.generator, row.mapping


def _laws(keys: Sequence[tuple[str, str]]) -> str:
    """Generators with their mappings: "java (mod, next_int)"."""
    mappings: dict[str, list[str]] = {}
    for generator, mapping in keys:
        mappings.setdefault(generator, []).append(mapping)
    return ", ".join(f"{name} ({', '.join(through)})" for name, through in mappings.items())


def _searches(count: int) -> str:
    return "1 search" if count == 1 else f"{count} searches"
