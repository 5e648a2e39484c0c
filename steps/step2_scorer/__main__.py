"""`python -m steps.step2_scorer --request FILE`: what the watcher starts."""

import sys

from steps.entry import run_step
from steps.step2_scorer.run import run

if __name__ == "__main__":
    sys.exit(run_step(run))
