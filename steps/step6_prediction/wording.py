"""The sentences in which a verdict is told."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from steps.forensics.candidates import state_of
from steps.forensics.documents import CandidateRecord, HypothesisTest, WindowConfig
from steps.forensics.history import ALL
from steps.forensics.wording import p_text
from steps.prng.recovery.found import ALPHA
from steps.step6_prediction.following import Followed

_REASONS = 3


def machine(source: CandidateRecord) -> str:
    """The generator in words: "java through next_int, gap 2"."""
    gap = f", gap {source.gap}" if source.gap else ""
    return f"{source.generator} through {source.mapping}{gap}"


def explained(source: CandidateRecord) -> str:
    """Which draws a source explains."""
    of = "" if source.stream == ALL else f" of {source.stream}"
    lost = f", with {source.missing} draws missing from the record" if source.missing else ""
    return (
        f"draws {source.first} to {source.stop - 1}{of}: {source.matches} of {source.compared} "
        f"match{lost}"
    )


def hypotheses_text(tried: int | None, log10: float) -> str:
    """How many hypotheses: "36,000" or "10^19.3"."""
    return f"{tried:,}" if tried is not None and log10 < 9 else f"10^{log10:.1f}"


def seed_sentence(source: CandidateRecord) -> str:
    """Where the source began, as far as that is known."""
    if source.seed is not None:
        calls, draw = source.offset, 0
        if calls is None:
            calls, draw = source.seed_calls or 0, source.first
        place = f"{calls} calls before draw {draw}" if calls else f"right before draw {draw}"
        if source.seed_known:
            return f"It was begun with the seed {source.seed} ({source.seeding}), {place}."
        return (
            f"Seeded with {source.seed} ({source.seeding}) {place} it makes these draws: an "
            "equivalent seed. With what the machine was seeded, and where, is not known."
        )
    words = state_of(source)[0].tolist()
    shown = ", ".join(str(word) for word in words[:4]) + (", ..." if len(words) > 4 else "")
    unseen = (
        f" (its lowest {source.seen_bits} bits; the others do not show in these draws)"
        if source.seen_bits is not None
        else ""
    )
    return (
        f"Its state before draw {source.first} is {shown}{unseen}; from what seed it came there is "
        "not known."
    )


def seed_words(source: CandidateRecord) -> str:
    """The seed, for a headline: empty where there is none."""
    if source.seed is None:
        return ""
    kind = "the seed" if source.seed_known else "the equivalent seed"
    return f" from {kind} {source.seed}"


def seed_sentences(
    followed: Followed, others: Sequence[Followed], window: WindowConfig
) -> tuple[str, ...]:
    """What was found, why it is no chance, and how it did on the draws held back."""
    source = followed.source
    searched = followed.recorded.log_hypotheses / math.log(10)
    # By Markov's inequality, see steps.prng.recovery.found.
    chance = -followed.score / math.log(10)
    total = hypotheses_text(window.hypotheses_tried, window.log10_hypotheses)
    said = [
        f"{machine(source)} explains {explained(source)}.",
        seed_sentence(source),
        f"That chance alone explains so many draws has a probability of at most 10^{chance:.0f}; "
        f"what was searched has been paid for with a factor of 10^{searched:.1f}.",
        f"{total} hypotheses were tried in all. Each search has an equal share of the chance of a "
        "false alarm: the factor is the hypotheses of the search that found it, times the number "
        "of searches.",
    ]
    if followed.holdout_trials:
        said.append(held_back_sentence(followed))
    said += [
        f"Beyond chance, too: {machine(other.source)} explains {explained(other.source)}; it "
        + ("goes on." if other.goes_on else "does not explain the last draws.")
        for other in others
    ]
    return tuple(said)


def held_back_sentence(followed: Followed) -> str:
    """How it did on the draws held back of its stream, of which there must be some."""
    source = followed.source
    of = "" if source.stream == ALL else f" of {source.stream}"
    chosen = (
        f", for the {followed.looked_at} candidates among which it stood out"
        if followed.looked_at > 1
        else ""
    )
    return (
        f"Of the {followed.holdout_trials} draws held back{of} {followed.holdout_hits} were "
        f"foretold from train alone; chance gives {followed.holdout_trials / source.modulus:.2g} "
        f"(exact binomial test, p {p_text(followed.p_value)}{chosen})."
    )


def confidence_sentence(value: int, confidence: float, followed: Followed, hazard: float) -> str:
    """What the probability of the next draw is made of."""
    stream = followed.source.stream
    of = "" if stream == ALL else f" of {stream}"
    return (
        f"The next draw{of} is {value} with a probability of {confidence:.4g}: the source has made "
        f"the last draw with {followed.alive:.4g}, ends before the next with {hazard:.2g}, and of "
        f"its draws a share of {followed.wrong:.2g} is expected to be replaced by something else."
    )


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


def _searches(count: int) -> str:
    return "1 search" if count == 1 else f"{count} searches"
