"""A worker that speaks the protocol and then does what its job's params say, for fault tests."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

out = os.fdopen(os.dup(1), "wb", buffering=0)
os.dup2(2, 1)


def say(**message: object) -> None:
    out.write(json.dumps(message).encode() + b"\n")


def done(job: dict) -> None:
    say(
        status="trial_complete",
        id=job["id"],
        scores=[],
        pruned=False,
        duration_s=0.1,
        device="cpu",
        peak_rss_mib=1.0,
    )


def first_time(job: dict) -> bool:
    """Whether this is the job's first process; a file remembers."""
    mark = Path(job["predictions_path"])
    if mark.exists():
        return False
    mark.write_text("tried")
    return True


def main() -> None:
    say(status="ready", family="lightgbm", device="cpu", pid=os.getpid())
    job = json.loads(sys.stdin.readline())
    match job["params"]["do"]:
        case "succeed":
            done(job)
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "die once":
            if first_time(job):
                os.kill(os.getpid(), signal.SIGKILL)
            done(job)
        case "segfault":
            ctypes.string_at(0)
        case "hang":
            time.sleep(3600)
        case "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        case "ignore term":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(3600)
        case "grandchild":
            subprocess.Popen(["sleep", "3600"], stdout=out.fileno(), process_group=0)
            subprocess.Popen(["sleep", "3601"], stdout=out.fileno())
            Path(job["predictions_path"]).write_text(str(os.getpid()))
            done(job)
        case "linger":
            done(job)
            time.sleep(3600)
        case "spew":
            for _ in range(200):
                os.write(2, b"x" * 1_000_000)
            done(job)
        case "print":
            print("printed")
            os.write(1, b"written to one\n")
            ctypes.CDLL(None).puts(b"from C")
            done(job)
        case "half a line":
            out.write(b'{"status": "trial_comp')
            if first_time(job):
                os._exit(0)
            out.write(b"\n")
        case "half then whole":
            if first_time(job):
                out.write(b'{"status": "trial_comp')
                os._exit(0)
            done(job)
        case "endless line":
            while True:
                out.write(b"x" * 1_000_000)
        case "wrong id":
            done({"id": "another"})
        case "exit quietly":
            os._exit(3)


main()
