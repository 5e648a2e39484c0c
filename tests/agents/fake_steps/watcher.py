"""The `watcher` command, allowed to start fake steps too."""

import sys

from agents.cli import main

if __name__ == "__main__":
    sys.exit(main(packages=("steps", "fake_steps")))
