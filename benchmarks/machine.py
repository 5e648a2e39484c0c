"""Say in one line what machine the figures come from, without naming it."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from gpu.host.devices import usable_cores
from steps import __version__

LIBRARIES = ("optuna", "xgboost", "lightgbm", "catboost", "torch", "scikit-learn", "numpy")


def machine_line() -> str:
    """CPU model, usable cores, memory, system, Python and libraries. No host name."""
    memory_gib = psutil.virtual_memory().total / (1 << 30)
    libraries = ", ".join(f"{name} {_version(name)}" for name in LIBRARIES)
    return (
        f"{_cpu_model()}, {usable_cores()} usable cores, {memory_gib:.0f} GiB, "
        f"{platform.system()} {platform.machine()}, Python {platform.python_version()}, "
        f"watcher {__version__}, {libraries}"
    )


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"  # the extra `bench` brings it


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return "unknown CPU"
