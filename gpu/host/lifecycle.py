"""Decide what happens to workers and their work: events in, instructions out.

No clock, no pipe, no process: each method is an event that has happened, with the monotonic time
of it, and returns what is to be done now, in order. gpu.host.pool does it.

A unit of work: attempt 1 in a worker at hand, attempt 2 in a new worker, attempt 3 each open job in
a process of its own. Its lease goes back with its last outcome.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gpu.host.devices import Device, devices_of
from gpu.host.instructions import GiveBack, Instruction, Report
from gpu.host.leases import Lease
from gpu.host.roster import Patience, Roster, Worker, WorkerState, serves
from gpu.host.units import FoldFitted, Unit, Work, answers
from gpu.params import Family
from gpu.protocol import (
    FailureKind,
    FoldDone,
    Job,
    Outcome,
    Pong,
    Ready,
    Reply,
    ShellDone,
    TrainFailed,
)

# Attempts of a unit as a whole; then each job still open is tried once more, on its own.
WHOLE_ATTEMPTS = 2
MOST_IDLE = 16


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
        self._keep = keep
        self._persistent = persistent
        self._units: dict[str, Unit] = {}
        self._instructions: list[Instruction] = []
        self._roster = Roster(
            keep=self._idle_kept(),
            patience=patience or Patience(),
            emit=self._instructions.append,
        )
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
        return self._roster.states

    def preferred(self, family: Family) -> tuple[str, ...]:
        """UUIDs of devices on which a worker of the family stands idle; the last used first."""
        return self._roster.preferred(family)

    def alarm(self) -> float | None:
        """When `ticked` has something to do, if nothing else happens before."""
        times = [unit.deadline for unit in self._units.values()] + self._roster.alarms()
        return min((time for time in times if time is not None), default=None)

    def submitted(self, work: Work, lease: Lease, now: float) -> list[Instruction]:
        """Work has come, with the lease that it holds to its last outcome."""
        unit = Unit(work, lease, now)
        self._units[unit.id] = unit
        self._start(unit, now)
        return self._drain()

    def foreseen(self, family: Family, now: float) -> list[Instruction]:
        """Work of the family will come: start a worker ahead, if none waits already."""
        if not self._persistent or not self._roster.may_start_ahead(family):
            return []
        # A GPU is touched under its lease only; a process that waits takes no CPU from anyone.
        held = {unit.lease.device.uuid for unit in self._units.values()}
        for device in devices_of(family, self._devices):
            if device.kind == "cpu" or (device.uuid in held and not device.exclusive):
                self._roster.spawn(family, device, once=False, now=now)
                break
        return self._drain()

    def replied(self, worker_id: int, reply: Reply, now: float) -> list[Instruction]:
        """A worker has sent a line."""
        worker = self._roster[worker_id]
        worker.heard_at = now
        match reply:
            case Ready() if reply.family == worker.family:
                self._roster.ready(worker, now)
            case Ready():
                self._fault(worker, f"it serves {reply.family}, wanted {worker.family}", now)
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
        self._fault(self._roster[worker_id], what, now)
        return self._drain()

    def exited(
        self, worker_id: int, how: str, now: float, *, of_memory: bool = False
    ) -> list[Instruction]:
        """A worker is gone and reaped, without an instruction to kill it.

        how: its end in words, with what it said last. of_memory: it is taken to have run out of it.
        """
        worker = self._roster[worker_id]
        self._roster.lose(worker)
        if worker.unit is not None:
            self._died(worker.unit, how, now, of_memory=of_memory)
        return self._drain()

    def ticked(self, now: float) -> list[Instruction]:
        """Time has passed: deadlines of units first, then the patience with workers."""
        for unit in self.units:
            if unit.deadline is not None and unit.deadline <= now:
                self._abandon(unit, "timeout", f"no result within {unit.limit_s:.1f} s", now)
        for worker, why in self._roster.kill_overdue(now):
            if worker.unit is not None:
                self._died(worker.unit, f"killed: {why}", now)
        return self._drain()

    def cancelled(self, job_id: str, reason: str, now: float) -> list[Instruction]:
        """A job, and so its unit, is not wanted any more. One that has ended stays as it is."""
        for unit in self.units:
            if any(job.id == job_id for job in unit.open):
                self._abandon(unit, "cancelled", reason, now)
        return self._drain()

    def retired(self, family: Family, now: float) -> list[Instruction]:
        """No more work of the family is expected: its idle workers go."""
        self._roster.stop_unused(now, family)
        return self._drain()

    def switched(self, persistent: bool, now: float) -> list[Instruction]:
        """Workers shall, or shall not, outlive their unit. Busy ones finish what they have."""
        self._persistent = persistent
        if not persistent:
            self._roster.stop_unused(now)
        return self._drain()

    def moved(self, devices: Sequence[Device], reason: str, now: float) -> list[Instruction]:
        """Other devices are to be used. What a GPU that is none of them has ends as "cancelled".

        What a CPU slot has is finished there: a slot is nothing that anybody could want back.
        """
        self._devices = tuple(devices)
        self._roster.keep = self._idle_kept()
        for unit in self.units:
            device = unit.lease.device
            if device.kind != "cpu" and all(device.uuid != used.uuid for used in devices):
                self._abandon(unit, "cancelled", reason, now)
        self._roster.stop_elsewhere(devices, now)
        return self._drain()

    def closed(self, now: float) -> list[Instruction]:
        """The pool ends: open jobs are cancelled, and idle workers told to go."""
        for unit in self.units:
            self._abandon(unit, "cancelled", "pool closed", now)
        self._roster.stop_unused(now)
        return self._drain()

    def _idle_kept(self) -> int:
        return max(4, min(MOST_IDLE, 2 * len(self._devices))) if self._keep is None else self._keep

    def _start(self, unit: Unit, now: float) -> None:
        """Give what is open to a worker: one at hand for the first attempt, else a new one."""
        device = unit.lease.device
        # A worker that waits would hold an exclusive GPU against all others, leased or not.
        once = unit.one_by_one or not self._persistent or device.exclusive
        first = unit.attempt == 1 and not once
        worker = self._roster.at_hand(unit.family, device) if first else None
        if worker is None:
            worker = self._roster.spawn(unit.family, device, once=once, now=now)
        message, starts = unit.give()
        self._roster.give(worker, unit, message)
        self._instructions += [Report(start) for start in starts]

    def _outcome(self, worker: Worker, outcome: Outcome, now: float) -> None:
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
            own = outcome if outcome.id == job.id else outcome.model_copy(update={"id": job.id})
            self._instructions.append(Report(unit.end(job, own, now)))
        if not unit.given:
            self._release(worker, now)
            self._go_on(unit, now)

    def _addressee(self, worker: Worker, reply: FoldDone | Outcome, now: float) -> Job | None:
        """The open job that is answered; None if it has ended, or was never this worker's."""
        job = worker.unit.given_job(reply.id) if worker.unit is not None else None
        if job is None and reply.id in worker.settled:
            self.late_replies += 1
        elif job is None:
            self._fault(worker, f"a reply ({reply.status}) for another job, {reply.id}", now)
        return job

    def _fault(self, worker: Worker, what: str, now: float) -> None:
        self._roster.kill(worker)
        unit = worker.unit
        if unit is not None:
            self._fail(unit, unit.given, "internal", f"the worker broke the protocol: {what}", now)
            self._go_on(unit, now)

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
        self._roster.kill_holder(unit)
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

    def _release(self, worker: Worker, now: float) -> None:
        """The worker has answered all that it was given."""
        if worker.once:
            # Its results are on the disk; its tear-down is not worth waiting for.
            self._roster.kill(worker)
        elif worker.suspect or not self._persistent or not serves(worker, self._devices):
            self._roster.stop(worker, now)
        else:
            self._roster.rest(worker, now)

    def _drain(self) -> list[Instruction]:
        instructions = self._instructions.copy()
        self._instructions.clear()
        return instructions
