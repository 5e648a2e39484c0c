"""`python -m gpu.worker`: serve training jobs as lines of JSON on standard input and output."""

from __future__ import annotations

import argparse
import os
import sys

from pydantic import BaseModel

from gpu.cores import usable_cores
from gpu.params import FAMILIES
from gpu.protocol import Ready, encode
from gpu.worker.process import claim_stdout, die_with_parent, set_threads, visible_device


def main() -> int:
    """Claim standard output, import one library, serve."""
    parser = argparse.ArgumentParser(prog="python -m gpu.worker", description=__doc__)
    parser.add_argument("--family", choices=FAMILIES, default="neural_net")
    parser.add_argument("--once", action="store_true", help="one job, one reply, exit")
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--device", choices=["cpu", "cuda", "rocm"], default=visible_device())
    args = parser.parse_args()
    out = claim_stdout()
    die_with_parent()
    set_threads(args.threads)

    def send(message: BaseModel) -> None:
        line = memoryview(encode(message))
        while line:
            line = line[out.write(line) or 0 :]

    # Imported only now: the libraries read the thread settings and may print.
    from gpu.worker.serve import serve
    from gpu.worker.trainers import load_trainer

    trainer = load_trainer(args.family, args.device, args.threads)
    send(Ready(family=args.family, device=trainer.device_name, pid=os.getpid()))
    return serve(sys.stdin.buffer, send, args.family, trainer, os.getpid(), once=args.once)


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    # Nothing is left to do: tearing down a numerical library takes longer than a small job.
    os._exit(status)
