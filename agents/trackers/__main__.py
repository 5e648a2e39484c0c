"""Copy one run to one tracker, as stdin orders: `python -m agents.trackers`.

Whatever goes wrong ends the process with a traceback, whose last line the watcher passes on.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

from agents.secrets import mask, secrets_in
from agents.trackers.orders import CopyOrder
from agents.trackers.records import run_records
from steps.contract.diagnostics import TrainingDiagnostics


def main() -> None:
    """Read the order, copy, end."""
    order = CopyOrder.model_validate_json(sys.stdin.read())
    # Should the watcher have died meanwhile: a server that hangs must not keep this alive.
    signal.setitimer(signal.ITIMER_REAL, order.limit_s)
    found = TrainingDiagnostics.model_validate_json(
        Path(order.diagnostics).read_text(encoding="utf-8")
    )
    secrets = secrets_in(found.run.params) if found.run is not None else frozenset[str]()
    records = run_records(found, secrets)
    if order.tracker == "tensorboard":
        from agents.trackers.event_files import tensorboard_writer, write_event_files

        write_event_files(records, Path(order.target), tensorboard_writer)
    else:
        from agents.trackers.mlflow_runs import log_runs, mlflow_logger

        masked = mask(found.model_dump(mode="json"), "", secrets)
        document = json.dumps(masked, indent=1, ensure_ascii=False)
        log_runs(records, document, mlflow_logger(order.target, order.experiment))


if __name__ == "__main__":
    main()
