"""What the lifecycle of workers asks its shell to do, one frozen value an act."""

from __future__ import annotations

from dataclasses import dataclass

from gpu.host.devices import Device
from gpu.host.leases import Lease
from gpu.host.units import Event, Work
from gpu.params import Family
from gpu.protocol import Ping, Shutdown


@dataclass(frozen=True, slots=True)
class Spawn:
    """Start a worker process. once: it serves one command and exits."""

    worker: int
    family: Family
    device: Device
    once: bool


@dataclass(frozen=True, slots=True)
class Send:
    """Write a message to the worker, which may still be starting."""

    worker: int
    message: Work | Ping | Shutdown


@dataclass(frozen=True, slots=True)
class Kill:
    """Kill the worker with everything it has started; it is not spoken of again."""

    worker: int


@dataclass(frozen=True, slots=True)
class GiveBack:
    """Return the lease of a unit that has ended."""

    lease: Lease


@dataclass(frozen=True, slots=True)
class Report:
    """Tell the pool's user."""

    event: Event


Instruction = Spawn | Send | Kill | GiveBack | Report
