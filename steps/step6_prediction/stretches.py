"""Tell of states of one generator that follow each other, and of draws that none of them explains.

What is seen is told as seen: wrong records, a machine that was seeded anew and another machine
all look alike in the draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from steps.forensics.documents import CandidateRecord, WindowConfig
from steps.forensics.history import ALL
from steps.step6_prediction.following import Followed
from steps.step6_prediction.known import Known
from steps.step6_prediction.wording import explained, machine

_SHOWN = 8
# The smallest share that may be held back, as Step 1's manifest has it.
_LEAST_HELD = 0.05


@dataclass(frozen=True, slots=True)
class After:
    """The draws of a stream after the last one that its states explain.

    first: the first of them, stop: after the last one, within the stream; named the same within all
    draws, where rows are counted.
    """

    first: int
    stop: int

    @property
    def count(self) -> int:
        """How many there are."""
        return self.stop - self.first


def after(states: Sequence[Followed], known: Known) -> After:
    """The draws that none of these states, all of one stream, explains at the end."""
    stream = states[-1].source.stream
    stop = int(known.stream(stream).size)
    return After(min(stop, max(state.source.stop for state in states)), stop)


def states_words(states: Sequence[Followed], known: Known) -> str:
    """Which draws they explain: of one state its own count, of several their sum."""
    source = states[-1].source
    if len(states) == 1:
        return f"{machine(source)} explains {explained(source)}"
    stream = source.stream
    of = "" if stream == ALL else f" of {stream}"
    draws = known.stream(stream)
    under = np.zeros(draws.size, np.bool_)
    for state in states:
        under[state.source.first : state.source.stop] = True
    under[draws < 0] = False
    held = known.train_draws(stream)
    learnt = int(np.count_nonzero(draws[:held] >= 0))
    lengths = sorted(state.source.stop - state.source.first for state in states)
    span = f"{lengths[0]}" if lengths[0] == lengths[-1] else f"{lengths[0]} to {lengths[-1]}"
    return (
        f"{len(states)} states of {machine(source)}, in stretches of {span} draws, explain "
        f"{int(np.count_nonzero(under[:held]))} of the {learnt} draws{of} learnt from"
    )


def states_sentences(states: Sequence[Followed]) -> tuple[str, ...]:
    """Where each of several states holds, the last ones; nothing of a single one."""
    if len(states) < 2:
        return ()
    shown = ", ".join(
        f"{one.first} to {one.stop - 1} ({one.matches} of {one.compared})"
        for one in (state.source for state in states[-_SHOWN:])
    )
    last = f", the last {_SHOWN} of them" if len(states) > _SHOWN else ""
    return (
        f"{machine(states[-1].source)} in {len(states)} states explains draws {shown}{last}. A "
        "machine that is seeded anew now and then makes such draws.",
    )


def lasted_sentences(before: Sequence[Followed], age: int) -> tuple[str, ...]:
    """How long the sources before lasted, where there were any."""
    ended = [one.source.stop - one.source.first for one in before if not one.goes_on]
    if not ended:
        return ()
    shown = ", ".join(str(length) for length in sorted(ended)[-_SHOWN:])
    return (f"The sources before it lasted {shown} draws; this one has made {age} so far.",)


def ended_sentence(followed: Followed, rest: After) -> str:
    """Why nothing is predicted."""
    of = "" if followed.source.stream == ALL else f" of {followed.source.stream}"
    return (
        f"No next draw is foretold: it does not explain {rest_words(rest)}{of} and the "
        f"probability that it is still at work is {followed.alive:.2g} (a share of "
        f"{followed.wrong:.2g} of its draws is taken to be wrong). Wrong records, a machine that "
        "was seeded anew and another machine all look like this; the draws do not tell which."
    )


def rest_words(rest: After) -> str:
    """Draws by their number: "the last 2 draws, 298 and 299"."""
    if rest.count == 0:
        return "the last draws"
    if rest.count == 1:
        return f"the last draw, {rest.first},"
    return f"the last {rest.count} draws, {rest.first} to {rest.stop - 1},"


def ended_advice(states: Sequence[Followed], known: Known, window: WindowConfig) -> tuple[str, ...]:
    """What a person may do where the last draws are not explained."""
    rest, source = after(states, known), states[-1].source
    wanted = _wanted(source, window)
    of = "" if source.stream == ALL else f" of {source.stream}"
    said = []
    if rest.count and (wanted is None or rest.count < wanted):
        said.append(
            f"look up {rest_words(rest)}{of} where they are on record: empty the cells of wrong "
            "ones (an empty cell keeps its place), and run steps 0 to 6 again"
        )
    if wanted is None:
        return tuple(said)
    share = held_share(rest, wanted, known, source.stream)
    if share is not None:
        said.append(
            f"the newest stretch begins among the draws held back: with --params "
            f"'{{\"holdout_fraction\": {share:g}}}' step 1 searches {wanted} or more of its draws: "
            "run steps 0 to 6 again"
        )
    elif rest.first + wanted > known.train_draws(source.stream):
        said.append(
            f"a search of the newest stretch wants about {wanted} of its draws before those held "
            f"back: add draws, set holdout_fraction to {_LEAST_HELD:g}, and run steps 0 to 6 again"
        )
    return tuple(said)


def held_share(rest: After, wanted: int, known: Known, stream: str) -> float | None:
    """The largest holdout_fraction, in hundredths, that leaves so many of the draws after the last
    explained one to be learnt from; None where none does, or the present one does.
    """
    rows = known.rows(stream)
    last = rest.first + wanted - 1
    if last >= rows.size or rows[last] < known.held_from:
        return None
    draws = known.draws.size
    for hundredths in range(int(100 * (draws - known.held_from) / draws), 0, -1):
        share = hundredths / 100
        # As Step 1 splits.
        if share >= _LEAST_HELD and draws - max(1, round(draws * share)) > rows[last]:
            return share
    return None


def _wanted(source: CandidateRecord, window: WindowConfig) -> int | None:
    """Draws that a search of a new stretch wants, with the wrong draws that searches allow for."""
    allowed = max((search.corruption for search in window.searches), default=0.0)
    rows = [
        row.draws_wanted
        for row in window.power
        if (row.generator, row.mapping) == (source.generator, source.mapping)
        and (row.method == "algebra") == (source.origin == "algebra")
        and row.draws_wanted is not None
        and row.corruption <= allowed
        and row.largest_gap >= source.gap
    ]
    return max(rows, default=None)
