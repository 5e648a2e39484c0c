"""Decide what happens to workers and their work: events in, instructions out.

No clock, no pipe, no process: each method is an event that has happened, with the monotonic time
of it, and returns what is to be done now, in order. gpu.host.pool does it.

A worker: starting -> idle <-> busy; from each of them stopping, or gone.
A unit: attempt 1 in a worker at hand, attempt 2 in a new worker, attempt 3 each open job in a
process of its own. Its lease goes back with its last outcome.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from gpu.host.devices import Device
from gpu.host.instructions import GiveBack, Instruction, Kill, Report, Send, Spawn
from gpu.host.leases import Lease
from gpu.host.units import FoldFitted, Unit, Work, answers
from gpu.params import Family
from gpu.protocol import (
    FailureKind,
    FoldDone,
    Job,
    Outcome,
    Ping,
    Pong,
    Ready,
    Reply,
    ShellDone,
    Shutdown,
    TrainFailed,
)

# Attempts of a unit as a whole; then each job still open is tried once more, on its own.
WHOLE_ATTEMPTS = 2
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
class _Worker:
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


class Lifecycle:
    """The workers and units of one pool.

    keep: most idle workers that are kept; beyond it the least recently used one goes.
    late_replies: replies that were dropped because their job had its outcome already.
    """

    def __init__(
        self,
        devices: Sequence[Device],
        *,
        persistent: bool = True,
        keep: int | None = None,
        patience: Patience | None = None,
    ) -> None:
        self._devices = tuple(devices)
        self._persistent = persistent
        self._keep = max(4, 2 * len(self._devices)) if keep is None else keep
        self._patience = patience or Patience()
        self._workers: dict[int, _Worker] = {}
        self._units: dict[str, Unit] = {}
        self._instructions: list[Instruction] = []
        self._last_worker = 0
        self._cannot_start: set[Family] = set()
        self.late_replies = 0

    @property
    def persistent(self) -> bool:
        """Whether a worker serves more than one unit."""
        return self._persistent

    @property
    def units(self) -> tuple[Unit, ...]:
        """Work without its last outcome, oldest first."""
        return tuple(self._units.values())

    @property
    def workers(self) -> Mapping[int, WorkerState]:
        """The workers that are alive as far as is known."""
        return {worker.id: worker.state for worker in self._workers.values()}

    def preferred(self, family: Family) -> tuple[str, ...]:
        """UUIDs of devices on which a worker of the family stands idle; the last used first."""
        idle = [w for w in self._in(WorkerState.IDLE) if w.family == family]
        return tuple(w.device.uuid for w in sorted(idle, key=lambda w: -w.used_at))

    def alarm(self) -> float | None:
        """When `ticked` has something to do, if nothing else happens before."""
        times = [unit.deadline for unit in self._units.values()]
        for worker in self._workers.values():
            times += [worker.ready_by, worker.pong_by, worker.stop_by, self._ping_at(worker)]
        return min((time for time in times if time is not None), default=None)

    def submitted(self, work: Work, lease: Lease, now: float) -> list[Instruction]:
        """Work has come, with the lease that it holds to its last outcome."""
        unit = Unit(work, lease, now)
        self._units[unit.id] = unit
        self._start(unit, now)
        return self._drain()

    def foreseen(self, family: Family, now: float) -> list[Instruction]:
        """Work of the family will come: start a worker ahead, if none waits already."""
        waiting = self._in(WorkerState.IDLE, WorkerState.STARTING)
        if not self._persistent or family in self._cannot_start:
            return []
        if any(worker.family == family for worker in waiting):
            return []
        # A GPU is touched under its lease only; a process that waits takes no CPU from anyone.
        held = [unit.lease.device for unit in self._units.values()]
        for device in self._devices:
            if device.kind == "cpu" or device in held:
                self._spawn(family, device, once=False, now=now)
                break
        return self._drain()

    def replied(self, worker_id: int, reply: Reply, now: float) -> list[Instruction]:
        """A worker has sent a line."""
        worker = self._workers[worker_id]
        worker.heard_at = now
        match reply:
            case Ready():
                self._ready(worker, reply, now)
            case Pong():
                worker.pong_by = None
            case ShellDone():
                self._fault(worker, "a reply to a shell command, which was not sent", now)
            case FoldDone():
                job = self._addressee(worker, reply, now)
                if job is not None:
                    self._instructions.append(Report(FoldFitted(job, reply)))
            case _:
                self._outcome(worker, reply, now)
        return self._drain()

    def garbled(self, worker_id: int, what: str, now: float) -> list[Instruction]:
        """A worker has broken the protocol: it is not trusted again, and what it had fails."""
        self._fault(self._workers[worker_id], what, now)
        return self._drain()

    def exited(
        self, worker_id: int, how: str, now: float, *, of_memory: bool = False
    ) -> list[Instruction]:
        """A worker is gone and reaped, without an instruction to kill it.

        how: its end in words, with what it said last. of_memory: it is taken to have run out of it.
        """
        worker = self._workers.pop(worker_id)
        if worker.ready_by is not None and worker.unit is None:
            # Not started ahead again before one of its family has been seen to start.
            self._cannot_start.add(worker.family)
        if worker.unit is not None:
            self._died(worker.unit, how, now, of_memory=of_memory)
        return self._drain()

    def ticked(self, now: float) -> list[Instruction]:
        """Time has passed: deadlines of units first, then the patience with workers."""
        for unit in self.units:
            if unit.deadline is not None and unit.deadline <= now:
                self._abandon(unit, "timeout", f"no result within {unit.limit_s:.1f} s", now)
        for worker in list(self._workers.values()):
            ping_at = self._ping_at(worker)
            if worker.stop_by is not None and worker.stop_by <= now:
                self._kill(worker)
            elif worker.ready_by is not None and worker.ready_by <= now:
                self._too_slow(worker, f"not ready within {self._patience.ready_s:g} s", now)
            elif worker.pong_by is not None and worker.pong_by <= now:
                self._too_slow(worker, f"no answer to a ping in {self._patience.pong_s:g} s", now)
            elif ping_at is not None and ping_at <= now:
                worker.pong_by = now + self._patience.pong_s
                self._instructions.append(Send(worker.id, Ping(command="ping")))
        return self._drain()

    def cancelled(self, job_id: str, reason: str, now: float) -> list[Instruction]:
        """A job, and so its unit, is not wanted any more. One that has ended stays as it is."""
        for unit in self.units:
            if any(job.id == job_id for job in unit.open):
                self._abandon(unit, "cancelled", reason, now)
        return self._drain()

    def retired(self, family: Family, now: float) -> list[Instruction]:
        """No more work of the family is expected: its idle workers go."""
        self._stop_unused((w for w in self._workers.values() if w.family == family), now)
        return self._drain()

    def switched(self, persistent: bool, now: float) -> list[Instruction]:
        """Workers shall, or shall not, outlive their unit. Busy ones finish what they have."""
        self._persistent = persistent
        if not persistent:
            self._stop_unused(self._workers.values(), now)
        return self._drain()

    def closed(self, now: float) -> list[Instruction]:
        """The pool ends: open jobs are cancelled, and idle workers told to go."""
        for unit in self.units:
            self._abandon(unit, "cancelled", "pool closed", now)
        self._stop_unused(self._workers.values(), now)
        return self._drain()

    def _start(self, unit: Unit, now: float) -> None:
        """Give what is open to a worker: one at hand for the first attempt, else a new one."""
        once = unit.one_by_one or not self._persistent
        at_hand = None if once or unit.attempt > 1 else self._at_hand(unit)
        worker = at_hand or self._spawn(unit.family, unit.lease.device, once=once, now=now)
        worker.state = WorkerState.BUSY
        worker.unit = unit
        message, starts = unit.give()
        self._instructions.append(Send(worker.id, message))
        self._instructions += [Report(start) for start in starts]

    def _at_hand(self, unit: Unit) -> _Worker | None:
        """An idle worker of the unit's family and device, the last used; else one that starts."""
        place = _place(unit.lease.device)
        for state in (WorkerState.IDLE, WorkerState.STARTING):
            fit = [
                w for w in self._in(state) if (w.family, _place(w.device)) == (unit.family, place)
            ]
            if fit:
                return max(fit, key=lambda worker: worker.used_at)
        return None

    def _ready(self, worker: _Worker, reply: Ready, now: float) -> None:
        if reply.family != worker.family:
            self._fault(worker, f"it serves {reply.family}, wanted {worker.family}", now)
            return
        worker.ready_by = None
        self._cannot_start.discard(worker.family)
        if worker.state is WorkerState.STARTING:
            self._rest(worker, now)

    def _outcome(self, worker: _Worker, outcome: Outcome, now: float) -> None:
        unit = worker.unit
        jobs: Sequence[Job]
        if isinstance(outcome, TrainFailed) and outcome.kind == "internal":
            worker.suspect = True
        if isinstance(outcome, TrainFailed) and unit and outcome.id in (None, unit.id):
            jobs = unit.given  # the command as a whole was refused
        else:
            job = self._addressee(worker, outcome, now)
            if job is None or unit is None:
                return
            if not answers(outcome, job):
                self._fault(worker, f"{job.id} was answered by {outcome.status}", now)
                return
            jobs = [job]
        for job in jobs:
            worker.settled.append(job.id)
            own = outcome.model_copy(update={"id": job.id}) if outcome.id != job.id else outcome
            self._instructions.append(Report(unit.end(job, own, now)))
        if not unit.given:
            self._release(worker, now)
            self._go_on(unit, now)

    def _addressee(self, worker: _Worker, reply: FoldDone | Outcome, now: float) -> Job | None:
        """The open job that is answered; None if it has ended, or was never this worker's."""
        job = worker.unit.given_job(reply.id) if worker.unit is not None else None
        if job is None and reply.id in worker.settled:
            self.late_replies += 1
        elif job is None:
            self._fault(worker, f"a reply ({reply.status}) for another job, {reply.id}", now)
        return job

    def _fault(self, worker: _Worker, what: str, now: float) -> None:
        unit = worker.unit
        self._kill(worker)
        if unit is not None:
            self._fail(unit, unit.given, "internal", f"the worker broke the protocol: {what}", now)
            self._go_on(unit, now)

    def _too_slow(self, worker: _Worker, how: str, now: float) -> None:
        unit = worker.unit
        self._kill(worker)
        if unit is not None:
            self._died(unit, f"killed: {how}", now)

    def _died(self, unit: Unit, how: str, now: float, *, of_memory: bool = False) -> None:
        """The unit's worker is gone: a new one, then a process a job, then the job has failed."""
        unit.deaths.append(how)
        unit.short_of_memory |= of_memory
        if unit.one_by_one:
            tries = "; then ".join([*unit.deaths[:WHOLE_ATTEMPTS], how])
            message = f"the worker died in each of {unit.attempt} attempts: {tries}"
            self._fail(unit, unit.given, "oom" if of_memory else "crashed", message, now)
            self._go_on(unit, now)
            return
        unit.attempt += 1
        unit.one_by_one = unit.attempt > WHOLE_ATTEMPTS
        self._start(unit, now)

    def _abandon(self, unit: Unit, kind: FailureKind, message: str, now: float) -> None:
        for worker in [w for w in self._workers.values() if w.unit is unit]:
            self._kill(worker)
        self._fail(unit, unit.open, kind, message, now)
        self._go_on(unit, now)

    def _fail(
        self, unit: Unit, jobs: Sequence[Job], kind: FailureKind, message: str, now: float
    ) -> None:
        for job in jobs:
            failed = TrainFailed(kind=kind, message=message, id=job.id)
            self._instructions.append(Report(unit.end(job, failed, now)))

    def _go_on(self, unit: Unit, now: float) -> None:
        """Nobody has the unit now: the next of its jobs, or its end."""
        if unit.open:
            self._start(unit, now)
            return
        del self._units[unit.id]
        self._instructions.append(GiveBack(unit.lease))

    def _release(self, worker: _Worker, now: float) -> None:
        """The worker has answered all that it was given."""
        worker.unit = None
        if worker.once:
            # Its results are on the disk; its tear-down is not worth waiting for.
            self._kill(worker)
        elif worker.suspect or not self._persistent:
            self._stop(worker, now)
        else:
            self._rest(worker, now)

    def _rest(self, worker: _Worker, now: float) -> None:
        worker.state = WorkerState.IDLE
        worker.used_at = now
        idle = self._in(WorkerState.IDLE)
        if len(idle) > self._keep:
            self._stop(min(idle, key=lambda other: other.used_at), now)

    def _stop_unused(self, workers: Iterable[_Worker], now: float) -> None:
        unused = (WorkerState.IDLE, WorkerState.STARTING)
        for worker in [worker for worker in workers if worker.state in unused]:
            self._stop(worker, now)

    def _stop(self, worker: _Worker, now: float) -> None:
        if worker.ready_by is not None:
            self._kill(worker)  # it has nothing yet that it could close
            return
        worker.state = WorkerState.STOPPING
        worker.pong_by = None
        worker.stop_by = now + self._patience.exit_s
        self._instructions.append(Send(worker.id, Shutdown(command="shutdown")))

    def _spawn(self, family: Family, device: Device, *, once: bool, now: float) -> _Worker:
        self._last_worker += 1
        ready_by = now + self._patience.ready_s
        worker = _Worker(self._last_worker, family, device, once, now, now, ready_by)
        self._workers[worker.id] = worker
        self._instructions.append(Spawn(worker.id, family, device, once))
        return worker

    def _kill(self, worker: _Worker) -> None:
        del self._workers[worker.id]
        self._instructions.append(Kill(worker.id))

    def _ping_at(self, worker: _Worker) -> float | None:
        if worker.state is not WorkerState.IDLE or worker.pong_by is not None:
            return None
        return worker.heard_at + self._patience.idle_s

    def _in(self, *states: WorkerState) -> list[_Worker]:
        return [worker for worker in self._workers.values() if worker.state in states]

    def _drain(self) -> list[Instruction]:
        instructions, self._instructions = self._instructions, []
        return instructions


def _place(device: Device) -> str:
    """A worker on a GPU sees that one alone; one on the CPU serves every slot."""
    return "cpu" if device.kind == "cpu" else device.uuid
