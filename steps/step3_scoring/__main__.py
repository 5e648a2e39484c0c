"""`python -m steps.step3_scoring --request FILE`: what the watcher starts."""

import sys

from steps.entry import run_step
from steps.step3_scoring.run import run

if __name__ == "__main__":
    sys.exit(run_step(run))
