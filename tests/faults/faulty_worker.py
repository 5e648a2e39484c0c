"""A worker that speaks the protocol and then does what its job's params say, for fault tests.

It starts hundreds of times in a test run, so it imports nothing that Python has not built in
(with -S; json alone doubles the time). FAULTY_START in the environment says what goes wrong before
its ready line, FAULTY_END what it does with a shutdown.
"""

from __future__ import annotations

import os
import sys
import time

SIGKILL, SIGTERM, SIGSTOP = 9, 15, 19
FAMILY = sys.argv[sys.argv.index("--family") + 1]
ONCE = "--once" in sys.argv
# A line of JSON of plain strings and numbers is a Python expression but for these names.
JSON_NAMES = {"null": None, "true": True, "false": False}

out = os.dup(1)
os.dup2(2, 1)


def write(data: bytes) -> None:
    while data:
        data = data[os.write(out, data) :]


def text(value: object) -> str:
    match value:
        case dict():
            return "{" + ", ".join(f'"{key}": {text(item)}' for key, item in value.items()) + "}"
        case list():
            return "[" + ", ".join(text(item) for item in value) + "]"
        case str():
            return f'"{value}"'
        case bool():
            return str(value).lower()
    return str(value)


def say(**message: object) -> None:
    write(text(message).encode() + b"\n")


def done(job: dict) -> None:
    """The reply to any command; `device` tells which process sent it."""
    if job["command"] == "predict":
        say(status="predict_complete", id=job["id"], n_rows=3)
        return
    say(
        status="trial_complete",
        id=job["id"],
        scores=[],
        pruned=False,
        duration_s=0.1,
        device=f"pid {os.getpid()}",
        peak_rss_mib=1.0,
    )


def fold(job: dict) -> None:
    score = {"fold": 0, "r2": 0.5, "val_mse": 1.0, "train_mse": 1.0}
    score |= {"best_round": 1, "rounds_run": 1, "duration_s": 0.1}
    say(status="fold", id=job["id"], score=score)


def tries(job: dict) -> int:
    """How many processes have had this job, this one included; a file remembers."""
    path = job["predictions_path"]
    with open(path, "a+") as mark:
        mark.write("x")
        return mark.tell()


def die(number: int = SIGKILL) -> None:
    os.kill(os.getpid(), number)


def act(job: dict) -> None:
    params = job.get("params", {})
    match params.get("do", "succeed"):
        case "succeed":
            done(job)
        case "folds":
            fold(job)
            fold(job)
            done(job)
        case "work":
            time.sleep(params["s"])
            done(job)
        case "die":
            die()
        case "die at first":
            if tries(job) <= params["times"]:
                die()
            done(job)
        case "fold then die once":
            fold(job)
            if tries(job) == 1:
                die()
            done(job)
        case "say and die":
            os.write(2, params["words"].encode())
            die(params["signal"])
        case "say":
            os.write(2, params["words"].encode())
            done(job)
        case "segfault":
            import ctypes

            ctypes.string_at(0)
        case "abort":
            os.abort()
        case "hang":
            time.sleep(3600)
        case "stop":
            die(SIGSTOP)
        case "ignore term":
            import signal

            signal.signal(SIGTERM, signal.SIG_IGN)
            time.sleep(3600)
        case "grandchild":
            # Both hold the pipe of the protocol; one flees into a group of its own.
            pids = [os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "3600") for _ in range(2)]
            os.setpgid(pids[1], 0)
            with open(job["predictions_path"], "w") as note:
                note.write(f"{pids[0]} {pids[1]}")
            if params["then"] == "die":
                die()
            done(job)
            if params["then"] == "stay":
                time.sleep(3600)
        case "linger":
            done(job)
            time.sleep(3600)
        case "answer and die":
            done(job)
            die()
        case "answer and stop":
            done(job)
            die(SIGSTOP)
        case "answer twice":
            done(job)
            done(job)
        case "spew":
            for _ in range(200):
                os.write(2, b"x" * 1_000_000)
            done(job)
        case "spew for ever":
            while True:
                os.write(2, b"x" * 1_000_000)
        case "print":
            import ctypes

            print("printed", flush=True)
            os.write(1, b"written to one\n")
            ctypes.CDLL(None).puts(b"from C")
            ctypes.CDLL(None).fflush(None)
            done(job)
        case "half then whole":
            if tries(job) == 1:
                write(b'{"status": "trial_comp')
                os._exit(0)
            done(job)
        case "endless line":
            while True:
                write(b"x" * 1_000_000)
        case "long line":
            say(status="error", kind="internal", message="x" * (64 << 20), id=job["id"])
        case "no json":
            write(b"Training until validation scores don't improve\n")
            time.sleep(3600)
        case "wrong id":
            done({**job, "id": "another"})
        case "wrong kind":
            say(status="predict_complete", id=job["id"], n_rows=3)
        case "exit quietly":
            os._exit(3)
        case "fail":
            say(status="error", kind=params["kind"], message="as asked", id=job["id"])
        case "threads":
            with open("/proc/self/status") as status:
                count = next(line.split()[1] for line in status if line.startswith("Threads:"))
            say(status="error", kind="diverged", message=count, id=job["id"])
        case other:
            raise ValueError(other)


def main() -> None:
    match os.environ.get("FAULTY_START"):
        case "never ready":
            time.sleep(3600)
        case "die":
            die()
        case "another family":
            say(status="ready", family="catboost", device="cpu", pid=os.getpid())
            time.sleep(3600)
    say(status="ready", family=FAMILY, device="cpu", pid=os.getpid())
    for line in sys.stdin:
        command = eval(line, JSON_NAMES)
        match command["command"]:
            case "ping":
                say(status="pong", pid=os.getpid())
                continue
            case "shutdown":
                if os.environ.get("FAULTY_END") == "stay":
                    time.sleep(3600)
                return
            case "train_batch":
                for job in command["jobs"]:
                    act(job)
            case _:
                act(command)
        if ONCE:
            return


main()
