"""`python -m gpu.trial`: train one model on one split and print one JSON object, for scripts."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

from gpu.cores import usable_cores
from gpu.params import FAMILIES
from gpu.protocol import ShellTrain, encode
from gpu.worker.process import claim_stdout, die_with_parent, set_threads, visible_device


def main() -> int:
    """Print the metrics, or an error object with exit status 1, whatever the library prints."""
    parser = argparse.ArgumentParser(prog="python -m gpu.trial", description=__doc__)
    parser.add_argument("--model-type", choices=FAMILIES, required=True)
    parser.add_argument(
        "--data-path", required=True, help=".npz with X_train, y_train, X_val, y_val"
    )
    parser.add_argument("--params", default="{}", help="JSON object; what is left out is default")
    parser.add_argument("--trial-number", type=int, default=0)
    parser.add_argument("--fold-idx", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--device", choices=["cpu", "cuda", "rocm"], default=visible_device())
    parser.add_argument("--save-model", action="store_true")
    parser.add_argument("--model-output-dir", type=Path, default=Path())
    args = parser.parse_args()
    try:
        params: Any = json.loads(args.params)
    except json.JSONDecodeError as error:
        parser.error(f"--params is not JSON: {error}")
    if not isinstance(params, dict):
        parser.error(f"--params must be a JSON object, got {args.params}")
    job = ShellTrain(
        command="train",
        X_train_path=args.data_path,
        params=params,
        trial_number=args.trial_number,
        fold_idx=args.fold_idx,
        seed=args.seed,
    )
    out = claim_stdout()
    die_with_parent()
    set_threads(args.threads)
    from gpu.worker.failures import failure
    from gpu.worker.jobs import run_shell_train
    from gpu.worker.trainers import load_trainer

    try:
        trainer = load_trainer(args.model_type, args.device, args.threads)
        save_to = args.model_output_dir if args.save_model else None
        answer = encode(run_shell_train(job, args.model_type, trainer, save_to))
        status = 0
    except Exception as error:  # noqa: BLE001  # whatever a library raises, one object says it
        answer, status = encode(failure(job, error)), 1
    out.write(answer)
    return status


if __name__ == "__main__":
    os._exit(main())
