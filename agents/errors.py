"""Name every way the watcher refuses, with the exit code that it stands for.

    WatcherError                1   something outside the command line is in the way
    ├── UsageError              2   the command line asks for something that cannot be
    │   ├── ParameterError      2   --params or --params-file: name, bound, or JSON at fault
    │   └── ManifestError       2   a manifest file: path and key at fault
    ├── InputMissing            1   a table or file that a step needs is not there
    ├── WorkspaceBusy           1   another watcher works in this workspace
    ├── WorkspaceError          1   the workspace cannot be read or written
    ├── LedgerError             1   the ledger cannot be read or written
    │   └── LedgerBusy          1   another program keeps it locked
    └── Halted                 10   the policy or the halt file forbids to start

A policy file that cannot be used raises steps.policies.PolicyError, which exits with 2 too.
"""

from __future__ import annotations

from steps.contract import ExitCode


class WatcherError(Exception):
    """The watcher cannot go on; the message is for a person and complete."""

    exit_code = ExitCode.STEP_FAILED


class UsageError(WatcherError):
    """The command line, or a file it names, asks for something that cannot be."""

    exit_code = ExitCode.USAGE


class ParameterError(UsageError):
    """A parameter that is unknown, out of bounds, of the wrong type, or unreadable."""


class ManifestError(UsageError):
    """A manifest that cannot be used; the message names the file and the key."""


class InputMissing(WatcherError):
    """A required input of a step was not found; the message names what was searched."""


class WorkspaceError(WatcherError):
    """The workspace cannot be read or written."""


class WorkspaceBusy(WatcherError):
    """Another watcher works in this workspace; the message names it."""


class LedgerError(WatcherError):
    """The ledger cannot be read or written, or was made by a newer watcher."""


class LedgerBusy(LedgerError):
    """Another program keeps the ledger locked; it may be free the next time."""


class Halted(WatcherError):
    """Nothing may start: the policy says halt, or the halt file exists."""

    exit_code = ExitCode.HALTED
