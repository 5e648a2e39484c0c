"""`python -m agents` is the `watcher` command."""

import sys

from agents.cli import main

if __name__ == "__main__":
    sys.exit(main())
