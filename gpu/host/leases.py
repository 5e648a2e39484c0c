"""Lease devices to trials, one holder each, on the whole machine.

A lock file stands for each device; the operating system frees it when its holder dies, so a stale
lease cannot exist. Two runs in two workspaces share one machine through the same files.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from gpu.host.devices import Device
from gpu.host.lock_files import lock_dir_of, machine_lock_dir, release, take

__all__ = ["Lease", "LeaseQueue", "machine_lock_dir"]


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to use a device. granted_at: seconds of the monotonic clock."""

    device: Device
    holder: str
    granted_at: float


class LeaseQueue:
    """Hands out each device to one holder at a time.

    lock_dir: where the lock files lie; None: where every run puts them. room: whether a free device
    has room for work now; one without is not handed out.
    """

    def __init__(
        self,
        devices: Sequence[Device],
        lock_dir: Path | None = None,
        *,
        room: Callable[[Device], bool] = lambda _: True,
    ) -> None:
        self._lock_dir = lock_dir
        self._room = room
        self._locks: dict[str, int] = {}
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

    def try_lease(
        self,
        holder: str,
        *,
        prefer: Sequence[str] = (),
        among: Collection[Device] | None = None,
    ) -> Lease | None:
        """A lease on the first free device, or None: all are leased, here or by another process.

        prefer: UUIDs of devices that are tried before the others, in this order. among: the devices
        that will do; None: all.
        """
        rank = {uuid: place for place, uuid in enumerate(prefer)}
        fit = [device for device in self._devices if among is None or device in among]
        for device in sorted(fit, key=lambda device: rank.get(device.uuid, len(rank))):
            if device.uuid in self._leases or (lock := self._take(device)) is None:
                continue
            if not self._room(device):
                release(lock)
                continue
            lease = Lease(device, holder, time.monotonic())
            self._leases[device.uuid], self._locks[device.uuid] = lease, lock
            return lease
        return None

    def taken_elsewhere(self) -> tuple[Device, ...]:
        """Devices that another process holds at this moment."""
        taken = []
        for device in self._devices:
            if device.uuid in self._leases:
                continue
            if (lock := self._take(device)) is None:
                taken.append(device)
            else:
                release(lock)
        return tuple(taken)

    def give_back(self, lease: Lease) -> None:
        """Return a lease; returning it twice is an error, so that nobody frees another's device."""
        if self._leases.get(lease.device.uuid) is not lease:
            raise ValueError(f"{lease.holder} does not hold {lease.device.name}")
        del self._leases[lease.device.uuid]
        release(self._locks.pop(lease.device.uuid))

    def _take(self, device: Device) -> int | None:
        folder = self._lock_dir or lock_dir_of(device)
        return take(folder / f"{device.uuid.replace('/', '_')}.lock")
