"""`python -m steps.step0_regimes --request FILE`: what the watcher starts."""

import sys

from steps.entry import run_step
from steps.step0_regimes.run import run

if __name__ == "__main__":
    sys.exit(run_step(run))
