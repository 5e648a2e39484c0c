"""Follow a proven candidate through all known draws: is it still at work, and what comes next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from steps.forensics.binomial import upper_p
from steps.forensics.candidates import law_of, state_of
from steps.forensics.documents import CandidateRecord
from steps.forensics.matches import predicted_beside, predicted_draws
from steps.forensics.mixture import Belief, Mixture, log_priors
from steps.prng.mappings import Draws
from steps.prng.recovery.alignment import align
from steps.prng.recovery.found import match_gain, miss_loss
from steps.step6_prediction.known import Known

# Draws missing from the record that are looked for beyond those known to be.
_SLACK = 8
_AT_WORK = 0.5
# Draws by which two sources may differ that lasted as long: ends are not seen to the draw.
_SAME_AGE = 2


@dataclass(frozen=True, eq=False)
class Followed:
    """A candidate over all known draws of its stream.

    recorded: as Step 1 left it. source: the same, with the stretch that it explains of all known
    draws. holdout_hits: of holdout_trials readable draws held
    back, predicted from what Step 1 had; p_value: of so many or more by chance, exact binomial,
    times looked_at, the candidates of which this one was chosen for its hits. score: nats of
    evidence at its best, after train or after all known draws, the search paid for. alive:
    probability that it made the last known draw and is still at work. wrong: share of wrong draws,
    by Laplace's rule, from its own record.
    """

    recorded: CandidateRecord
    source: CandidateRecord
    holdout_hits: int
    holdout_trials: int
    p_value: float
    looked_at: int
    score: float
    alive: float
    wrong: float
    mixture: Mixture

    @property
    def goes_on(self) -> bool:
        """Whether it is likelier at work than not."""
        return self.alive >= _AT_WORK


def follow(
    candidate: CandidateRecord, known: Known, hazard: float, corruption: float, looked_at: int = 1
) -> Followed:
    """Hold a candidate against all known draws; draws may be missing from the record there, too.

    corruption: as the scorer has it. looked_at: 1 for a candidate that train alone has proven.
    """
    draws = known.stream(candidate.stream)
    held = known.train_draws(candidate.stream)
    holdout = draws[held:]
    foretold = predicted_draws([candidate], held, holdout.size)[0]
    trials = int(np.count_nonzero(holdout >= 0))
    hits = int(np.count_nonzero(foretold == holdout))
    p_value = upper_p(hits, trials, 1 / candidate.modulus) if trials else 1.0
    source = _extended(candidate, draws, _wrong(candidate))
    wrong = _wrong(source)
    beside = predicted_beside([source], draws)
    mixture = Mixture(Belief(candidate.modulus, wrong, hazard), log_priors([candidate]))
    mixture.follow(beside[:, candidate.first :], draws[candidate.first :])
    beyond = draws[candidate.stop :]
    right = np.count_nonzero(beside[0, candidate.stop :] == beyond)
    rest = np.count_nonzero(beyond >= 0) - right
    gained = right * match_gain(candidate.modulus, corruption) + rest * miss_loss(corruption)
    return Followed(
        recorded=candidate,
        source=source,
        holdout_hits=hits,
        holdout_trials=trials,
        p_value=min(1.0, p_value * looked_at),
        looked_at=looked_at,
        score=candidate.score + max(0.0, gained),
        alive=float(mixture.alive[0]),
        wrong=wrong,
        mixture=mixture,
    )


def hazard_now(followed: Followed, before: Sequence[Followed], draws: int, usual: float) -> float:
    """The chance that a source ends before the next draw, learnt from those that have ended.

    before: of the same stream; draws: known ones of it. The greater of two: their number over the
    draws that they lasted, and the share that ended at this age of those that reached it; with the
    usual hazard as the prior of both.
    """
    ended = [one.source.stop - one.source.first for one in before if not one.goes_on]
    if not ended or usual == 0:
        return usual
    age = draws - followed.source.first
    rate = (len(ended) + 1) / (sum(ended) + age + 1 / usual)
    reached = [length for length in ended if length >= age - _SAME_AGE]
    now = sum(length <= age + _SAME_AGE for length in reached)
    return max(rate, (now + usual) / (len(reached) + 1))


def _wrong(candidate: CandidateRecord) -> float:
    return (candidate.compared - candidate.matches + 1) / (candidate.compared + 2)


def _extended(candidate: CandidateRecord, draws: Draws, wrong: float) -> CandidateRecord:
    """The candidate with the stretch that it explains of all these draws of its stream."""
    own = draws[candidate.first :]
    slack = candidate.missing + _SLACK
    law = law_of(candidate)
    predicted = law.draws(state_of(candidate), own.size + 2 * slack, first=-slack)[0]
    aligned = align(
        own,
        predicted,
        slack,
        gain=match_gain(candidate.modulus, wrong),
        loss=miss_loss(wrong),
        missing_rate=(candidate.missing + 1) / (candidate.compared + candidate.missing + 2),
    )
    missing = aligned.shift + aligned.missing
    if aligned.first + aligned.shift < 0 or missing < 0 or aligned.stop <= aligned.first:
        return candidate  # another stretch than its own: nothing that could be gone on with
    return candidate.model_copy(
        update={
            "stop": candidate.first + aligned.stop,
            "matches": aligned.matches,
            "compared": aligned.compared,
            "missing": missing,
        }
    )
