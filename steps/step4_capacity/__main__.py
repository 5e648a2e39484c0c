"""`python -m steps.step4_capacity --request FILE`: what the watcher starts."""

import sys

from steps.entry import run_step
from steps.step4_capacity.run import run

if __name__ == "__main__":
    sys.exit(run_step(run))
