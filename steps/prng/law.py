"""The law of position: draw i of a stream is call offset + i * (gap + 1) of its generator.

A call is what a program does for one draw: it eats outputs_per_draw accepted raw outputs; outputs
that the mapping throws away belong to the call that meets them. `gap` calls between two draws and
`offset` calls before the first are made and not seen. i may be negative: the same law read
backward, by the generator's own step back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from steps.prng.base import Generator, GeneratorError, Words, check_states, spread
from steps.prng.mappings import Draws, Flags, Mapping

# 32 MiB of raw outputs at a time.
_WORDS_AT_ONCE = 1 << 22
# So many rows are worth a numpy operation; fewer streams are looked at in several places at once.
_ROWS_AT_ONCE = 4096


def draws(
    generator: Generator,
    states: Words,
    mapping: Mapping,
    modulus: int,
    count: int,
    gap: int = 0,
    offset: int = 0,
) -> Draws:
    """Draws 0..count - 1 of every stream, int64 (n, count); see Law."""
    return Law(generator, mapping, modulus, gap, offset).draws(states, count)


@dataclass(frozen=True, slots=True)
class Law:
    """What stands between a generator's states and a history.

    modulus: draws are 0..modulus - 1. gap: unseen calls between two draws. offset: unseen calls
    before draw 0. Raises MappingError where the mapping cannot make such draws.
    """

    generator: Generator
    mapping: Mapping
    modulus: int
    gap: int = 0
    offset: int = 0

    def __post_init__(self) -> None:
        self.mapping.outputs_per_draw(self.generator, self.modulus)
        if self.gap < 0 or self.offset < 0:
            raise ValueError(
                f"gap and offset must be 0 or more, got gap {self.gap} and offset {self.offset}"
            )

    def draws(self, states: Words, count: int, first: int = 0) -> Draws:
        """Draws first, first + 1, ... of every stream, int64 (n, count).

        states: uint64 (n, state_words), where call 0 comes next. Beside the result it needs
        about 200 MiB, whatever n and count are. A gap is read, not jumped, where a jump would be
        longer or where something in it may be thrown away (see mappings.Unrejected).
        """
        check_states(self.generator, states)
        drawn = np.empty((states.shape[0], count), np.int64)
        unseen = self._stride - self._outputs_per_call
        cost = self.generator.jump_cost
        leaps = not self._rejects and cost is not None and unseen > cost
        for rows in self._blocks(states, self._stride):
            start = self.states_before(states[rows], first)
            drawn[rows] = self._leap(start, count) if leaps else self._read_all(start, count)
        return drawn

    def draws_before(self, states: Words, count: int) -> Draws:
        """The last `count` draws before the states, newest first, int64 (n, count).

        states: where a draw is read next, as states_before gives them; the offset lies behind.
        Raises GeneratorError where the generator cannot be stepped back.
        """
        return replace(self, offset=0).draws(states, count, first=-count)[:, ::-1]

    def states_before(self, states: Words, index: int) -> Words:
        """The states from which draw `index` is read next; index may be negative.

        From there on the law holds with an offset of 0.
        """
        calls = self.offset + index * (self.gap + 1)
        if calls < 0 and not self.generator.reversible:
            raise GeneratorError(
                f"{self.generator.name}: cannot be stepped back, wanted draw {index}"
            )
        outputs = calls * self._outputs_per_call
        if self._rejects:
            return self._skip(states, outputs)
        return self.generator.jump(states, outputs)

    @property
    def _outputs_per_call(self) -> int:
        return self.mapping.outputs_per_draw(self.generator, self.modulus)

    @property
    def _stride(self) -> int:
        """Accepted outputs from one draw to the next."""
        return (self.gap + 1) * self._outputs_per_call

    @property
    def _rejects(self) -> bool:
        nothing = np.zeros(0, np.uint64)
        return self.mapping.accepts(self.generator, nothing, self.modulus) is not None

    def _accepted(self, outputs: Words) -> Flags:
        accepted = self.mapping.accepts(self.generator, outputs, self.modulus)
        return np.ones(outputs.shape, np.bool_) if accepted is None else accepted

    def _blocks(self, states: Words, stride: int) -> Iterator[slice]:
        # Generators with long states work on a few times as many words.
        needed = max(min(stride, _WORDS_AT_ONCE), 4 * self.generator.state_words)
        height = max(1, min(_ROWS_AT_ONCE, _WORDS_AT_ONCE // needed))
        return (slice(start, start + height) for start in range(0, states.shape[0], height))

    def _leap(self, states: Words, count: int) -> Draws:
        """Draws (n, count): make the calls that are seen, jump over the others."""
        streams, per_call = states.shape[0], self._outputs_per_call
        drawn = np.empty((streams, count), np.int64)
        width = max(1, _ROWS_AT_ONCE // streams)
        for done in range(0, count, width):
            seen = min(width, count - done)
            places = spread(self.generator, states, seen, self._stride)
            outputs, _ = self.generator.run(places, per_call)
            calls = outputs.reshape(streams, seen, per_call)
            drawn[:, done : done + seen] = self.mapping.draw(self.generator, calls, self.modulus)
            states = self.generator.jump(states, seen * self._stride)
        return drawn

    def _read_all(self, states: Words, count: int) -> Draws:
        """Draws (n, count): make every output, those in the gaps too."""
        streams, stride = states.shape[0], self._stride
        drawn = np.empty((streams, count), np.int64)
        width = max(1, _WORDS_AT_ONCE // (streams * stride))
        for done in range(0, count, width):
            seen = min(width, count - done)
            outputs, states = self._run_accepted(states, seen * stride)
            calls = outputs.reshape(streams, seen, stride)[:, :, : self._outputs_per_call]
            drawn[:, done : done + seen] = self.mapping.draw(self.generator, calls, self.modulus)
        return drawn

    def _run_accepted(self, states: Words, count: int) -> tuple[Words, Words]:
        """The next `count` accepted outputs (n, count), and the states after them."""
        outputs, after = self.generator.run(states, count)
        if not self._rejects or (accepted := self._accepted(outputs)).all():
            return outputs, after
        outputs = outputs.copy()
        for row in np.flatnonzero(~accepted.all(axis=1)):
            kept, state = outputs[row][accepted[row]], after[row : row + 1]
            while missing := count - kept.size:
                more, state = self.generator.run(state, missing)
                kept = np.concatenate([kept, more[self._accepted(more)]])
            outputs[row], after[row] = kept, state[0]
        return outputs, after

    def _skip(self, states: Words, count: int) -> Words:
        """The states `count` accepted outputs later, or earlier where negative; looks at all."""
        reached = states.copy()
        sign = 1 if count > 0 else -1
        for rows in self._blocks(states, 1):
            part = states[rows]
            width = max(1, _WORDS_AT_ONCE // part.shape[0])
            for done in range(0, abs(count), width):
                part = self._skip_some(part, sign * min(width, abs(count) - done))
            reached[rows] = part
        return reached

    def _skip_some(self, states: Words, count: int) -> Words:
        after = self.generator.jump(states, count)
        rejected = self._rejected_between(states, after, count)
        for row in np.flatnonzero(rejected):
            state, missing = after[row : row + 1], int(rejected[row])
            while missing:
                further = missing if count > 0 else -missing
                reached = self.generator.jump(state, further)
                missing = int(self._rejected_between(state, reached, further)[0])
                state = reached
            after[row] = state[0]
        return after

    def _rejected_between(self, states: Words, after: Words, count: int) -> npt.NDArray[np.intp]:
        """Outputs (n,) that are thrown away between the states and those `count` steps on."""
        outputs, _ = self.generator.run(states if count > 0 else after, abs(count))
        rejected: npt.NDArray[np.intp] = np.count_nonzero(~self._accepted(outputs), axis=1)
        return rejected
