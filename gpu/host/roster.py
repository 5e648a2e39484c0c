"""Know the workers of a pool: which start, wait, work or stop, and how long each may take.

A worker: starting -> idle <-> busy; from each of them stopping, or gone. No process is touched
here: instructions say what is to be done.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from gpu.host.devices import Device, devices_of
from gpu.host.instructions import Instruction, Kill, Send, Spawn
from gpu.host.units import Unit, Work
from gpu.params import Family
from gpu.protocol import Ping, Shutdown

# A late reply is to a job of a short while ago; what was before need not be remembered.
SETTLED_KEPT = 1000


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a worker may take, in seconds.

    ready_s: from its start to its ready line, imports included. idle_s: the silence after which an
    idle worker is pinged. pong_s: to answer a ping. exit_s: to go when it was told to.
    """

    ready_s: float = 120.0
    idle_s: float = 30.0
    pong_s: float = 10.0
    exit_s: float = 2.0


class WorkerState(Enum):
    """What a worker is doing. A busy one may still be importing: work is sent ahead."""

    STARTING = "starting"
    IDLE = "idle"
    BUSY = "busy"
    STOPPING = "stopping"


@dataclass(slots=True)
class Worker:
    """ready_by, pong_by, stop_by: when patience ends; None where nothing is awaited.

    suspect: it has failed in a way that nobody foresaw, so its library may not be sound any more.
    settled: ids of jobs that it has had, the last ones.
    """

    id: int
    family: Family
    device: Device
    once: bool
    heard_at: float
    used_at: float
    ready_by: float | None
    pong_by: float | None = None
    stop_by: float | None = None
    state: WorkerState = WorkerState.STARTING
    unit: Unit | None = None
    suspect: bool = False
    settled: deque[str] = field(default_factory=lambda: deque(maxlen=SETTLED_KEPT))


class Roster:
    """The workers that are alive as far as is known.

    keep: most idle workers that are kept; beyond it the least recently used one goes.
    emit: takes the instructions, in order.
    """

    def __init__(
        self, *, keep: int, patience: Patience, emit: Callable[[Instruction], None]
    ) -> None:
        self.keep = keep
        self._patience = patience
        self._emit = emit
        self._workers: dict[int, Worker] = {}
        self._last_id = 0
        self._cannot_start: set[Family] = set()

    @property
    def states(self) -> Mapping[int, WorkerState]:
        """What each worker is doing, by number."""
        return {worker.id: worker.state for worker in self._workers.values()}

    def __getitem__(self, worker_id: int) -> Worker:
        return self._workers[worker_id]

    def preferred(self, family: Family) -> tuple[str, ...]:
        """UUIDs of devices on which a worker of the family stands idle; the last used first."""
        idle = [worker for worker in self._in(WorkerState.IDLE) if worker.family == family]
        idle.sort(key=lambda worker: -worker.used_at)
        return tuple(worker.device.uuid for worker in idle)

    def alarms(self) -> list[float | None]:
        """When the patience with each worker ends, or it is to be pinged."""
        times: list[float | None] = []
        for worker in self._workers.values():
            times += [worker.ready_by, worker.pong_by, worker.stop_by, self._ping_at(worker)]
        return times

    def may_start_ahead(self, family: Family) -> bool:
        """Whether none of the family waits, and the last that was started ahead came to live."""
        waiting = self._in(WorkerState.IDLE, WorkerState.STARTING)
        return family not in self._cannot_start and all(w.family != family for w in waiting)

    def at_hand(self, family: Family, device: Device) -> Worker | None:
        """An idle worker of the family for the device, the last used; else one that starts."""
        for state in (WorkerState.IDLE, WorkerState.STARTING):
            fit = [
                worker
                for worker in self._in(state)
                if (worker.family, _place(worker.device)) == (family, _place(device))
            ]
            if fit:
                return max(fit, key=lambda worker: worker.used_at)
        return None

    def spawn(self, family: Family, device: Device, *, once: bool, now: float) -> Worker:
        """Start a worker for the device."""
        self._last_id += 1
        worker = Worker(self._last_id, family, device, once, now, now, now + self._patience.ready_s)
        self._workers[worker.id] = worker
        self._emit(Spawn(worker.id, family, device, once))
        return worker

    def give(self, worker: Worker, unit: Unit, message: Work) -> None:
        """Send the worker its unit's work, be it ready or not."""
        worker.state = WorkerState.BUSY
        worker.unit = unit
        self._emit(Send(worker.id, message))

    def ready(self, worker: Worker, now: float) -> None:
        """The worker can train."""
        worker.ready_by = None
        self._cannot_start.discard(worker.family)
        if worker.state is WorkerState.STARTING:
            self.rest(worker, now)

    def rest(self, worker: Worker, now: float) -> None:
        """The worker has nothing to do; one too many goes."""
        worker.state = WorkerState.IDLE
        worker.unit = None
        worker.used_at = now
        idle = self._in(WorkerState.IDLE)
        if len(idle) > self.keep:
            self.stop(min(idle, key=lambda other: other.used_at), now)

    def stop(self, worker: Worker, now: float) -> None:
        """Tell the worker to go. One that is not ready has nothing that it could close."""
        if worker.ready_by is not None:
            self.kill(worker)
            return
        worker.state = WorkerState.STOPPING
        worker.unit = None
        worker.pong_by = None
        worker.stop_by = now + self._patience.exit_s
        self._emit(Send(worker.id, Shutdown(command="shutdown")))

    def stop_unused(self, now: float, family: Family | None = None) -> None:
        """Tell the workers without work to go; those of one family, or all."""
        for worker in self._in(WorkerState.IDLE, WorkerState.STARTING):
            if family in (None, worker.family):
                self.stop(worker, now)

    def stop_elsewhere(self, devices: Sequence[Device], now: float) -> None:
        """Tell the workers without work that serve none of these devices to go."""
        for worker in self._in(WorkerState.IDLE, WorkerState.STARTING):
            if not serves(worker, devices):
                self.stop(worker, now)

    def kill(self, worker: Worker) -> None:
        """End the worker with everything it has started."""
        del self._workers[worker.id]
        self._emit(Kill(worker.id))

    def kill_holder(self, unit: Unit) -> None:
        """End the worker that has the unit."""
        for worker in [worker for worker in self._workers.values() if worker.unit is unit]:
            self.kill(worker)

    def lose(self, worker: Worker) -> None:
        """The worker has ended by itself."""
        del self._workers[worker.id]
        self._note_bad_start(worker)

    def kill_overdue(self, now: float) -> list[tuple[Worker, str]]:
        """End the workers that patience has ended with, and say why; ping those long unheard."""
        killed = []
        for worker in list(self._workers.values()):
            ping_at = self._ping_at(worker)
            why = self._overdue(worker, now)
            if why is not None:
                self.kill(worker)
                self._note_bad_start(worker)
                killed.append((worker, why))
            elif ping_at is not None and ping_at <= now:
                worker.pong_by = now + self._patience.pong_s
                self._emit(Send(worker.id, Ping(command="ping")))
        return killed

    def _note_bad_start(self, worker: Worker) -> None:
        if worker.state is WorkerState.STARTING:
            # Not started ahead again before one of its family has been seen to start.
            self._cannot_start.add(worker.family)

    def _overdue(self, worker: Worker, now: float) -> str | None:
        if worker.stop_by is not None and worker.stop_by <= now:
            return f"still there {self._patience.exit_s:g} s after its shutdown"
        if worker.ready_by is not None and worker.ready_by <= now:
            return f"not ready within {self._patience.ready_s:g} s"
        if worker.pong_by is not None and worker.pong_by <= now:
            return f"no answer to a ping in {self._patience.pong_s:g} s"
        return None

    def _ping_at(self, worker: Worker) -> float | None:
        if worker.state is not WorkerState.IDLE or worker.pong_by is not None:
            return None
        return worker.heard_at + self._patience.idle_s

    def _in(self, *states: WorkerState) -> list[Worker]:
        return [worker for worker in self._workers.values() if worker.state in states]


def serves(worker: Worker, devices: Sequence[Device]) -> bool:
    """Whether the family of the worker trains, of these devices, on one that is its own."""
    used = devices_of(worker.family, devices)
    return any(_place(worker.device) == _place(device) for device in used)


def _place(device: Device) -> str:
    """A worker on a GPU sees that one alone; one on the CPU serves every slot."""
    return "cpu" if device.kind == "cpu" else device.uuid
