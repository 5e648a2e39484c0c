"""Run jobs in leased worker processes; a job ends in one outcome, whatever happens to its process.

gpu.host.lifecycle decides; here are the processes, the pipes and the leases. A worker serves many
units of work, or, with `persistent` off, one; the results are the same.
"""

from __future__ import annotations

import contextlib
import selectors
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from gpu.host.child import UNDYING, WORKER_COMMAND, Child, OversizedLine
from gpu.host.devices import Device, devices_of
from gpu.host.instructions import GiveBack, Instruction, Kill, Report, Send, Spawn
from gpu.host.leases import LeaseQueue
from gpu.host.lifecycle import Lifecycle
from gpu.host.machine import allow_open_files
from gpu.host.roster import Patience
from gpu.host.units import (
    Event,
    FoldFitted,
    JobEnded,
    JobStarted,
    Work,
    and_said,
    check_work,
    work_family,
    work_id,
    work_jobs,
)
from gpu.params import Family
from gpu.protocol import Job, Ping, ProtocolError, Shutdown, TrainBatch, decode_reply, encode

__all__ = ["Event", "FoldFitted", "JobEnded", "JobStarted", "Pool"]


class Pool:
    """Owns the worker processes and the leases of their work. Use it as a context manager.

    threads: of a worker on a GPU; on a CPU slot it has one.
    limit: most units of work at once, one a device if None. keep_idle: most workers that
    wait for work, max(4, 2 x devices) but 16 at most if None; an idle worker holds no lease.

    One thread drives it: the kernel ties a child's death signal to the thread that started it.
    """

    def __init__(
        self,
        leases: LeaseQueue,
        *,
        threads: int,
        persistent: bool = True,
        limit: int | None = None,
        keep_idle: int | None = None,
        patience: Patience | None = None,
        command: Sequence[str] = WORKER_COMMAND,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._leases = leases
        self._threads = threads
        self._limit = limit
        self._command = tuple(command)
        self._clock = clock
        self._lifecycle = Lifecycle(
            leases.devices, persistent=persistent, keep=keep_idle, patience=patience
        )
        allow_open_files()
        self._selector = selectors.DefaultSelector()
        self._children: dict[int, Child] = {}
        self._undying: list[Child] = []
        self._events: list[Event] = []

    @property
    def persistent(self) -> bool:
        """Whether a worker serves more than one unit.

        Set to False, idle workers are told to go now and busy ones after their unit; later units
        have a process of their own.
        """
        return self._lifecycle.persistent

    @persistent.setter
    def persistent(self, value: bool) -> None:
        if value != self._lifecycle.persistent:
            self._do(self._lifecycle.switched(value, self._clock()))

    @property
    def running(self) -> tuple[Job, ...]:
        """Jobs whose outcome is still open."""
        return tuple(job for unit in self._lifecycle.units for job in unit.open)

    @property
    def late_replies(self) -> int:
        """Replies that were dropped because their job had its outcome already."""
        return self._lifecycle.late_replies

    def try_start(self, work: Job | TrainBatch) -> bool:
        """Start the work if a device for it is free; False, and nothing has happened, if none is.

        A batch holds one lease; its deadline is its own, those of its jobs do not count. Raises
        ValueError for work that cannot be sent, or an id that is running already.
        """
        self._check(work)
        if self._limit is not None and len(self._lifecycle.units) >= self._limit:
            return False
        family = work_family(work)
        prefer, among = self._lifecycle.preferred(family), devices_of(family, self._leases.devices)
        lease = self._leases.try_lease(work_id(work), prefer=prefer, among=among)
        if lease is None:
            return False
        self._do(self._lifecycle.submitted(work, lease, self._clock()))
        return True

    def prepare(self, family: Family) -> bool:
        """Start a worker ahead, without a lease; returns whether one was started.

        None is where one of the family is idle or starting, where workers are not persistent,
        where the last one started ahead died of it, or where its GPUs are not leased by this pool.
        """
        instructions = self._lifecycle.foreseen(family, self._clock())
        self._do(instructions)
        return bool(instructions)

    def wait(self, timeout_s: float) -> list[Event]:
        """What has happened since the last call; waits up to timeout_s if nothing has."""
        limit = self._clock() + timeout_s
        while not self._events:
            self._turn(limit)
            if self._clock() >= limit:
                break
        events, self._events = self._events, []
        return events

    def cancel(self, job_id: str, reason: str) -> None:
        """Kill the worker that has the job; what is open of its unit ends as "cancelled".

        A job that has ended already keeps its outcome.
        """
        self._do(self._lifecycle.cancelled(job_id, reason, self._clock()))

    def retire(self, family: Family) -> None:
        """Let the idle workers of a family go: no more of its work will come."""
        self._do(self._lifecycle.retired(family, self._clock()))

    def use(self, devices: Sequence[Device], *, threads: int, reason: str) -> None:
        """Train on these devices from now on, each new worker on a GPU with so many threads.

        What runs on a GPU that is none of them ends as "cancelled", for the reason, before this
        returns; what runs on a CPU slot is finished there.
        """
        self._threads = threads
        self._leases.use(devices)
        self._do(self._lifecycle.moved(devices, reason, self._clock()))

    def close(self) -> None:
        """Cancel what is open, return every lease, and end every worker."""
        self._do(self._lifecycle.closed(self._clock()))
        while self._children:
            self._turn(self._clock() + 1.0)
        self._reap()
        self._selector.close()

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check(self, work: Work) -> None:
        check_work(work)
        ids = {job.id for job in self.running}
        again = sorted(job.id for job in work_jobs(work) if job.id in ids)
        if again or any(unit.id == work_id(work) for unit in self._lifecycle.units):
            raise ValueError(f"{', '.join(again) or work_id(work)}: running already")

    def _turn(self, limit: float) -> None:
        """Wait for something to happen, until an alarm or the limit, and act on it."""
        alarm = self._lifecycle.alarm()
        until = limit if alarm is None else min(limit, alarm)
        ready: dict[int, set[int]] = {}
        for key, _ in self._selector.select(max(0.0, until - self._clock())):
            ready.setdefault(key.data, set()).add(key.fd)
        for worker, fds in ready.items():
            child = self._children.get(worker)
            # Another's event may have ended this worker in the meantime.
            if child is not None:
                self._serve(worker, child, fds)
        # After the replies: what has arrived in time counts, however late it is read.
        self._do(self._lifecycle.ticked(self._clock()))
        self._reap()

    def _serve(self, worker: int, child: Child, fds: set[int]) -> None:
        if child.stdin_fd in fds:
            child.flush()
        child.read_stderr()
        self._read(worker, child)
        if child.pidfd in fds and worker in self._children:
            how, of_memory = child.ending(child.kill())
            self._drop(worker)
            now = self._clock()
            self._do(self._lifecycle.exited(worker, how, now, of_memory=of_memory))
        elif worker in self._children:
            self._watch(worker, child)

    def _read(self, worker: int, child: Child) -> None:
        """Take the lines that have come, until one of them ends the worker."""
        try:
            for line in child.read_lines():
                if not line.strip():
                    continue
                reply = decode_reply(line)
                self._do(self._lifecycle.replied(worker, reply, self._clock()))
                if worker not in self._children:
                    return
        except (OversizedLine, ProtocolError) as error:
            words = child.last_words()
            what = f"{error}\n{words}" if words else str(error)
            self._do(self._lifecycle.garbled(worker, what, self._clock()))

    def _do(self, instructions: Iterable[Instruction]) -> None:
        pending = deque(instructions)
        undying: set[str] = set()
        unstarted: dict[int, str] = {}
        while pending or unstarted:
            if not pending:
                worker, how = unstarted.popitem()
                pending.extend(self._lifecycle.exited(worker, how, self._clock()))
                continue
            match pending.popleft():
                case Spawn() as spawn:
                    try:
                        self._spawn(spawn)
                    except OSError as error:
                        unstarted[spawn.worker] = f"it could not be started: {error}"
                case Send(worker, message):
                    if worker not in unstarted:
                        self._send(worker, message)
                case Kill(worker):
                    undying |= self._drop(worker)
                case GiveBack(lease):
                    self._leases.give_back(lease)
                case Report(event) if event.job.id in undying:
                    self._events.append(and_said(event, UNDYING))
                case Report(event):
                    self._events.append(event)

    def _spawn(self, spawn: Spawn) -> None:
        threads = 1 if spawn.device.kind == "cpu" else self._threads
        child = Child(spawn.family, spawn.device, threads, once=spawn.once, command=self._command)
        self._children[spawn.worker] = child
        for fd in (child.stdout_fd, child.stderr_fd, child.pidfd):
            self._selector.register(fd, selectors.EVENT_READ, spawn.worker)

    def _send(self, worker: int, message: Work | Ping | Shutdown) -> None:
        child = self._children[worker]
        if not isinstance(message, Ping | Shutdown):
            child.begin_jobs([job.id for job in work_jobs(message)])
        child.send(encode(message))
        self._watch(worker, child)

    def _watch(self, worker: int, child: Child) -> None:
        """Ask for the events that can still come: none of a closed pipe, writing where it waits."""
        registered = self._selector.get_map()
        for fd in child.ended_fds & registered.keys():
            # A closed pipe is readable for ever; only the exit of the process counts now.
            self._selector.unregister(fd)
        if child.unsent and child.stdin_fd not in registered:
            self._selector.register(child.stdin_fd, selectors.EVENT_WRITE, worker)
        elif not child.unsent and child.stdin_fd in registered:
            self._selector.unregister(child.stdin_fd)

    def _drop(self, worker: int) -> set[str]:
        """End the worker and let go of all that was held for it.

        Returns the ids of its jobs if it does not die; its lease is free all the same.
        """
        child = self._children.pop(worker)
        for fd in (child.stdin_fd, child.stdout_fd, child.stderr_fd, child.pidfd):
            with contextlib.suppress(KeyError):
                self._selector.unregister(fd)
        dead = child.kill() is not None
        child.close()
        if dead:
            return set()
        self._undying.append(child)
        return set(child.job_ids)

    def _reap(self) -> None:
        """Forget those that would not die and have gone since."""
        self._undying = [child for child in self._undying if child.kill() is None]
