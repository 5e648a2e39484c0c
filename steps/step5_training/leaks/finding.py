"""What a leak is: features that give the target away, how, and in which words it is told."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
How = Literal[
    "copy",
    "affine",
    "rank",
    "near_copy",
    "bins",
    "function",
    "made_from",
    "group_mean",
    "categorical",
    "pair",
    "product",
    "ratio",
    "smaller",
    "larger",
    "distance",
    "model",
]

_WAYS: dict[How, str] = {
    "copy": "equals the target (correlation {:.5f})",
    "affine": "is the target on another scale (correlation {:.5f})",
    "rank": "rises or falls with the target (rank correlation {:.5f})",
    "near_copy": "is the target, but for a few rows (correlation {:.5f} without 1 % of the rows)",
    "bins": "is the target in bins: the targets of its values do not overlap (R2 {:.5f})",
    "function": "tells the target: rows beside each other in it have the same target (R2 {:.5f})",
    "made_from": "was made from the target: rows of near targets have the same value (R2 {:.5f})",
    "group_mean": "is the mean target of groups of rows, each row's own target in it (it lies "
    "nearer to the groups' means than chance allows, by {:.2%})",
    "categorical": "has levels that tell the target (R2 {:.5f})",
    "pair": "together make the target: a sum with weights (R2 {:.5f})",
    "product": "together make the target: their product (correlation {:.5f})",
    "ratio": "together make the target: their ratio (correlation {:.5f})",
    "smaller": "together make the target: the smaller of them (correlation {:.5f})",
    "larger": "together make the target: the larger of them (correlation {:.5f})",
    "distance": "together make the target: how far apart they are (correlation {:.5f})",
    "model": "had {:.1%} of the importance in a model that is too good to be true",
}


@dataclass(frozen=True, slots=True)
class LeakFinding:
    """Features that reproduce the target.

    how: "copy" equals it, "affine" is a + b * target, "rank" rises or falls with it, "near_copy" is
    one of these but for a few rows, "bins" cuts it into ranges, "function": it is a function of the
    feature, "made_from": the feature is a function of it, "group_mean" is its mean over groups with
    the row itself, "categorical" has a level for each of its values; of two features "pair":
    a * first + b * second + c, "product", "ratio", "smaller", "larger", and "distance":
    |first - second|. "model": one or two features are all that a model uses whose R2 on the holdout
    is over 0.999. strength: |correlation|, R2, the share that is missing from chance's scatter, or
    the share of the importance, as `told` says; each up to 1.
    """

    features: tuple[str, ...]
    how: How
    strength: float

    def told(self) -> str:
        """The finding in words, to follow the names."""
        return _WAYS[self.how].format(self.strength)


def exclude_text(names: Sequence[str]) -> str:
    """What to type to leave features out, as JSON."""
    return '"exclude_features": ' + json.dumps(list(names), ensure_ascii=False)
