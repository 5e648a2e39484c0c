"""`python -m steps.step5_training --request FILE`: what the watcher starts."""

import sys

from steps.entry import run_step
from steps.step5_training.run import run

if __name__ == "__main__":
    sys.exit(run_step(run))
