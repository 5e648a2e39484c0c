"""A door: `python agents/watcher_agent.py ...` is the `watcher` command, from any folder."""

import sys
from pathlib import Path

# Python put this file's folder first, where workspace.py and others would shadow real modules.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from agents.cli import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
