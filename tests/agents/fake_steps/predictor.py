"""The predict action of the fake step."""

import os
import sys

from fake_steps import actor
from steps.entry import run_step

if __name__ == "__main__":
    act = os.environ.get("FAKE_PREDICT", "predict")
    sys.exit(run_step(getattr(actor, f"act_{act}")))
