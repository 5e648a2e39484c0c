"""`python -m steps.step6_prediction --request FILE`: what the watcher starts."""

import sys

from steps.entry import run_step
from steps.step6_prediction.run import run

if __name__ == "__main__":
    sys.exit(run_step(run))
