"""A worker for a GPU that is not there: the real one, with the CPU for its device."""

from __future__ import annotations

import runpy
import sys

sys.argv = ["cpu" if word == "cuda" else word for word in sys.argv]
runpy.run_module("gpu.worker", run_name="__main__")
