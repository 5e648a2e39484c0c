"""What a worker process keeps to itself, and that it ends when nobody is left to hear it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import numpy as np
import psutil

# A library that prints wherever it can, at import and in a fit, inside the real worker.
NOISY = r"""
import ctypes, os, runpy, subprocess, sys
from types import SimpleNamespace
from gpu.worker import trainers

def noise(where):
    print(f"python {where}", flush=True)
    os.write(1, f"file descriptor {where}\n".encode())
    libc = ctypes.CDLL(None)
    libc.printf(b"C %s\n", where.encode())
    libc.fflush(None)
    subprocess.run(["echo", f"a child {where}"], check=True)

def fit(*_, **__):
    noise("in a fit")
    raise ValueError("as asked")

def load(*_):
    noise("at import")
    return SimpleNamespace(family="lightgbm", device_name="cpu", fit=fit)

trainers.load_trainer = load
sys.argv[1:1] = ["--family", "lightgbm", "--device", "cpu"]
runpy.run_module("gpu.worker", run_name="__main__", alter_sys=True)
"""
# Starts a worker that asks the kernel for nothing, tells its pid, and waits to be killed.
PARENT = """
import subprocess, sys
worker = subprocess.Popen(
    [sys.executable, "-m", "gpu.worker", "--family", "lightgbm", "--device", "cpu"],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE,
)
worker.stdout.readline()
print(worker.pid, flush=True)
sys.stdin.read()
"""


def gone(pid):
    """Whether a process has ended; who adopts it may be slow to take note."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_whatever_a_library_prints_the_protocol_has_its_own_lines_only(tmp_path):
    X, y = np.zeros((4, 2), np.float32), np.arange(4.0)
    np.savez(tmp_path / "t.npz", X_train=X, y_train=y, X_val=X, y_val=y)
    train = {"command": "train", "X_train_path": str(tmp_path / "t.npz")}
    done = subprocess.run(
        [sys.executable, "-c", NOISY],
        input=f'{json.dumps(train)}\n{{"command": "ping"}}\n',
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    replies = [json.loads(line) for line in done.stdout.splitlines()]
    assert [reply["status"] for reply in replies] == ["ready", "error", "pong"]
    assert replies[1]["message"] == "as asked"
    said = set(done.stderr.splitlines())
    for who in ("python", "file descriptor", "C", "a child"):
        assert {f"{who} at import", f"{who} in a fit"} <= said


def test_an_orphan_ends_with_its_input_where_the_kernel_was_asked_for_nothing():
    environment = {k: v for k, v in os.environ.items() if k != "WATCHER_PARENT_PID"}
    with subprocess.Popen(
        [sys.executable, "-c", PARENT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as parent:
        worker = int(parent.stdout.readline())
        assert not gone(worker)
        parent.kill()
        parent.wait()
    deadline = time.monotonic() + 20
    while not gone(worker):
        assert time.monotonic() < deadline
        time.sleep(0.02)
