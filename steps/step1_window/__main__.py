"""`python -m steps.step1_window --request FILE`: what the watcher starts."""

import sys

from steps.entry import run_step
from steps.step1_window.run import run

if __name__ == "__main__":
    sys.exit(run_step(run))
