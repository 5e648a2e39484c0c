"""Hold a prediction's next draws against the truth file of a simulated history.

python examples/check_prediction.py predictions/next_draw_prediction.json history.json.truth.json
Exit status 1 if they differ.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main(prediction_path: str, truth_path: str) -> int:
    """Print both; exit status 0 if all that was foretold was made."""
    prediction = json.loads(Path(prediction_path).read_text(encoding="utf-8"))
    truth = json.loads(Path(truth_path).read_text(encoding="utf-8"))
    foretold, made = prediction["next_draws"], truth["next_draws"]
    print("foretold  ", *foretold)
    print("made later", *made[: len(foretold)])
    right = sum(one == other for one, other in zip(foretold, made, strict=False))
    print(f"{right} of {len(foretold)} right")
    return 0 if foretold and right == len(foretold) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
