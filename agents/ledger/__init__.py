"""Keep what was run, tried, found and decided in one SQLite file, so that people can ask why.

One writer, the watcher that holds the workspace's lock (an approval is the one exception); readers
at any time (write-ahead log). No secret reaches the file.
"""

from agents.ledger.writing import Ledger

__all__ = ["Ledger"]
