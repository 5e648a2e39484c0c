"""Lease devices to trials, one holder each, on the whole machine.

A lock file stands for each device; the operating system frees it when its holder dies, so a stale
lease cannot exist. Two runs in two workspaces share one machine through the same files.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import filelock

from gpu.host.devices import Device


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to use a device. granted_at: seconds of the monotonic clock."""

    device: Device
    holder: str
    granted_at: float


class LeaseQueue:
    """Hands out each device to one holder at a time."""

    def __init__(self, devices: Sequence[Device], lock_dir: Path | None = None) -> None:
        self._folder = lock_dir or machine_lock_dir()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._locks: dict[str, filelock.BaseFileLock] = {}
        self._leases: dict[str, Lease] = {}
        self._devices: tuple[Device, ...] = ()
        self.use(devices)

    @property
    def devices(self) -> tuple[Device, ...]:
        """All devices of this queue, leased or free."""
        return self._devices

    @property
    def held(self) -> tuple[Lease, ...]:
        """Leases that are out, oldest first."""
        return tuple(self._leases.values())

    def use(self, devices: Sequence[Device]) -> None:
        """Hand out these devices from now on; leases on others stay out until they come back."""
        self._devices = tuple(devices)
        for device in devices:
            if device.uuid not in self._locks:
                path = self._folder / f"{device.uuid.replace('/', '_')}.lock"
                self._locks[device.uuid] = filelock.FileLock(path)

    def try_lease(self, holder: str, *, prefer: Sequence[str] = ()) -> Lease | None:
        """A lease on the first free device, or None: all are leased, here or by another process.

        prefer: UUIDs of devices that are tried before the others, in this order.
        """
        rank = {uuid: place for place, uuid in enumerate(prefer)}
        for device in sorted(self._devices, key=lambda device: rank.get(device.uuid, len(rank))):
            if device.uuid in self._leases:
                continue
            try:
                self._locks[device.uuid].acquire(timeout=0)
            except filelock.Timeout:
                continue
            lease = Lease(device, holder, time.monotonic())
            self._leases[device.uuid] = lease
            return lease
        return None

    def taken_elsewhere(self) -> tuple[Device, ...]:
        """Devices that another process holds at this moment."""
        taken = []
        for device in self._devices:
            if device.uuid in self._leases:
                continue
            lock = self._locks[device.uuid]
            try:
                lock.acquire(timeout=0)
            except filelock.Timeout:
                taken.append(device)
            else:
                lock.release()
        return tuple(taken)

    def give_back(self, lease: Lease) -> None:
        """Return a lease; returning it twice is an error, so that nobody frees another's device."""
        if self._leases.get(lease.device.uuid) is not lease:
            raise ValueError(f"{lease.holder} does not hold {lease.device.name}")
        del self._leases[lease.device.uuid]
        self._locks[lease.device.uuid].release()

    @contextmanager
    def lease(self, holder: str) -> Iterator[Lease | None]:
        """Hold a device inside a with block; None where no device is free."""
        lease = self.try_lease(holder)
        try:
            yield lease
        finally:
            if lease is not None:
                self.give_back(lease)


def machine_lock_dir() -> Path:
    """One folder for this user on this machine; not in a workspace, which others do not see."""
    return Path(tempfile.gettempdir()) / f"watcher-leases-{os.getuid()}"
