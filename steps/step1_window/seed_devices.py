"""Choose where seeds are sifted: on leased GPUs where people want and allow it, else on the CPU.

Whatever happens to a GPU or its worker, the search goes on by the CPU, from where it stood.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from gpu.host.allowed import allowed_of
from gpu.host.child import WORKER_COMMAND
from gpu.host.crowding import crowded
from gpu.host.devices import Device, detect
from gpu.host.holders import held_leases
from gpu.host.leases import LeaseQueue, machine_lock_dir
from gpu.host.lock_files import LeaseFolderError
from gpu.host.pool import Pool
from gpu.host.vram import GPU_BASE_MIB
from steps.contract import Note, StepRequest
from steps.policies import LivePolicy, PolicyError
from steps.prng.recovery.sifting import SifterFailed
from steps.step1_window.leased_sifter import GpusTaken, LeasedSifter

log = logging.getLogger(__name__)

SeedDevice = Literal["cpu", "gpu"]

# A search of fewer seconds on the CPU is over before a worker has started.
WORTH_A_GPU_S = 2.0
# Beside the context: a chunk of seeds with its words (see gpu.worker.seeds.sieve).
_SEEDS_MIB = 1024.0

# use_gpus, gpus_off: what the policy says of GPUs.
Allowed = tuple[bool, tuple[str, ...]]


class SeedDevices:
    """Lends a sifter for a search; a context manager, which ends the workers.

    allowed: what the policy says at this moment; None: seeds are sifted on the CPU. notes: what the
    result is to say. lock_dir: of the leases; None: this machine's own. The thread that asks for
    sifters must be one and the same.
    """

    def __init__(
        self,
        allowed: Callable[[], Allowed] | None,
        *,
        worth_s: float | None = None,
        command: Sequence[str] = WORKER_COMMAND,
        lock_dir: Path | None = None,
    ) -> None:
        self._allowed = allowed
        self._worth_s = WORTH_A_GPU_S if worth_s is None else worth_s
        self._command = command
        self._lock_dir = lock_dir or machine_lock_dir()
        self._opened_for: Allowed | None = None
        self._leases: LeaseQueue | None = None
        self._pool: Pool | None = None
        self._sifter: LeasedSifter | None = None
        self.notes: list[Note] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    def sifter(self, cpu_s: float) -> LeasedSifter | None:
        """For a search that takes so many seconds on the CPU; None: it stays there.

        Ask again now and then: what the policy allows may have changed.
        """
        if self._allowed is None or cpu_s < self._worth_s:
            return None
        allowed = self._allowed()
        try:
            if allowed != self._opened_for:
                self._close()
                self._opened_for = allowed
                self._open(allowed)
            if self._leases is not None and self._taken(self._leases):
                self.failed(GpusTaken("other runs hold every GPU"))
                return None
        except LeaseFolderError as error:
            self.failed(SifterFailed(str(error)))
        return self._sifter

    def failed(self, failure: SifterFailed) -> None:
        """A sifter failed: seeds stay on the CPU for good, unless others just had the GPUs."""
        if isinstance(failure, GpusTaken):
            self._say("info", f"for some time {failure}; meanwhile seeds were searched on the CPU")
            return
        self._say("warning", f"seeds are searched on the CPU from now on: {failure}")
        self._close()
        self._allowed = None

    def _open(self, allowed: Allowed) -> None:
        use, off = allowed
        if not use:
            self._say("info", "training.use_gpus is false in the policy: seeds stay on the CPU")
            return
        devices, notes = _usable(off, self._lock_dir)
        for note in notes:
            self._say("info", note)
        if not devices:
            self._say("warning", "no GPU can be used: seeds are searched on the CPU")
            return
        self._say("info", f"long searches of seeds on {', '.join(d.name for d in devices)}")
        self._leases = LeaseQueue(devices, self._lock_dir)
        self._pool = Pool(self._leases, threads=1, command=self._command)
        self._sifter = LeasedSifter(self._pool, len(devices))

    def _close(self) -> None:
        if self._pool is not None:
            self._pool.close()
        self._pool = self._leases = self._sifter = None

    def _taken(self, leases: LeaseQueue) -> bool:
        """Whether there is none that we hold or could hold now."""
        return not leases.held and len(leases.taken_elsewhere()) == len(leases.devices)

    def _say(self, level: Literal["info", "warning"], message: str) -> None:
        note = Note(level=level, code="seed_search_device", message=message)
        if note not in self.notes:
            log.info("%s", message)
            self.notes.append(note)


def seed_devices(wanted: SeedDevice, request: StepRequest) -> SeedDevices:
    """As the parameter seed_search_device and the policy of the request have it."""
    if wanted == "cpu":
        return SeedDevices(None)
    try:
        policy = LivePolicy.handed_over(request.policy_path, request.policy)
    except PolicyError as error:
        devices = SeedDevices(None)
        devices.failed(SifterFailed(f"what the policy allows is not known: {error}"))
        return devices

    def allowed() -> Allowed:
        training = policy.look().training
        return training.use_gpus, training.gpus_off

    return SeedDevices(allowed)


def _usable(off: Sequence[str], lock_dir: Path) -> tuple[list[Device], list[str]]:
    """GPUs of this machine that are not off, by UUID or number, and have room; what to say."""
    allowed, notes = allowed_of(detect(os.environ), off)
    usable = []
    # Other runs' work is waited for; it shares the device by turns.
    leased = {held.device for held in held_leases(lock_dir)}
    for device in allowed:
        full = None
        if device.uuid.replace("/", "_") not in leased:
            full = crowded(device, GPU_BASE_MIB + _SEEDS_MIB)
        if full is None:
            usable.append(device)
        else:
            notes.append(f"{full}; it is not used")
    return usable, notes
