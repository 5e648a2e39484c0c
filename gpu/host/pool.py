"""Run jobs in leased worker processes: one process a job, each on exactly one device.

A job ends in one outcome, whatever happens to its process: a reply, or a TrainFailed that says
why. A process that dies without a reply is started once more with the same job; the second death
is the job's failure. Every lease comes back.
"""

from __future__ import annotations

import contextlib
import selectors
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from gpu.host.child import WORKER_COMMAND, Child, OversizedLine, describe_exit
from gpu.host.leases import Lease, LeaseQueue
from gpu.protocol import (
    FoldDone,
    Job,
    Outcome,
    ProtocolError,
    Ready,
    TrainFailed,
    decode_reply,
    encode,
)

ATTEMPTS = 2
# A worker that has replied has nothing left to do; its exit is waited for this long.
EXIT_GRACE_S = 5.0


@dataclass(frozen=True, slots=True)
class JobStarted:
    """A worker process has been started for the job on the device."""

    job: Job
    device: str
    attempt: int


@dataclass(frozen=True, slots=True)
class FoldFitted:
    """A trial has fitted one more fold."""

    job: Job
    reply: FoldDone


@dataclass(frozen=True, slots=True)
class JobEnded:
    """The job has its outcome. wall_s: from the first process start, seconds."""

    job: Job
    outcome: Outcome
    wall_s: float


Event = JobStarted | FoldFitted | JobEnded


@dataclass(slots=True)
class _Running:
    job: Job
    lease: Lease
    child: Child
    attempt: int
    first_started: float
    deadline: float | None
    outcome: Outcome | None = None
    replied_at: float = 0.0


class Pool:
    """Owns the worker processes and their leases. Use it as a context manager.

    One thread drives it: the kernel ties a child's death signal to the thread that started it.
    """

    def __init__(
        self,
        leases: LeaseQueue,
        *,
        threads: int,
        limit: int | None = None,
        command: Sequence[str] = WORKER_COMMAND,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._leases = leases
        self._threads = threads
        self._command = tuple(command)
        self._limit = limit if limit is not None else len(leases.devices)
        self._clock = clock
        self._selector = selectors.DefaultSelector()
        self._running: dict[str, _Running] = {}
        self._events: list[Event] = []

    @property
    def running(self) -> tuple[Job, ...]:
        """Jobs whose outcome is still open."""
        return tuple(running.job for running in self._running.values())

    def try_start(self, job: Job) -> bool:
        """Start the job if a device is free; False, and nothing has happened, if none is."""
        if len(self._running) >= self._limit:
            return False
        lease = self._leases.try_lease(job.id)
        if lease is None:
            return False
        now = self._clock()
        deadline = None if job.deadline_s is None else now + job.deadline_s
        with self._give_back_on_error(lease):
            self._start(job, lease, attempt=1, first_started=now, deadline=deadline)
        return True

    def wait(self, timeout_s: float) -> list[Event]:
        """What has happened since the last call; waits up to timeout_s if nothing has."""
        limit = self._clock() + timeout_s
        while not self._events:
            now = self._clock()
            pause = min([limit, *self._alarms()]) - now
            if not self._running:
                # Nothing can happen here; the caller waits for a device that another holds.
                time.sleep(max(0.0, limit - now))
                break
            ready = {key.data for key, _ in self._selector.select(max(0.0, pause))}
            for job_id in ready:
                self._read(self._running[job_id])
            for running in list(self._running.values()):
                self._check(running)
            if self._clock() >= limit:
                break
        events, self._events = self._events, []
        return events

    def cancel(self, job_id: str, reason: str) -> None:
        """Kill a job's process; its outcome is a TrainFailed of kind "cancelled"."""
        running = self._running[job_id]
        self._end(running, TrainFailed(kind="cancelled", message=reason, id=job_id))

    def close(self) -> None:
        """Kill what still runs and return every lease."""
        for running in list(self._running.values()):
            self._end(running, TrainFailed(kind="cancelled", message="pool closed"))
        self._selector.close()

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(
        self,
        job: Job,
        lease: Lease,
        *,
        attempt: int,
        first_started: float,
        deadline: float | None,
    ) -> None:
        child = Child(job.family, lease.device, self._threads, once=True, command=self._command)
        running = _Running(job, lease, child, attempt, first_started, deadline)
        self._running[job.id] = running
        try:
            for fd in (child.stdout_fd, child.stderr_fd, child.pidfd):
                self._selector.register(fd, selectors.EVENT_READ, job.id)
            child.send(encode(job))
        except OSError:
            self._release_child(running)
            raise
        self._events.append(JobStarted(job, lease.device.name, attempt))

    @contextlib.contextmanager
    def _give_back_on_error(self, lease: Lease) -> Iterator[None]:
        try:
            yield
        except OSError:
            self._leases.give_back(lease)
            raise

    def _alarms(self) -> list[float]:
        alarms = []
        for running in self._running.values():
            if running.outcome is not None:
                alarms.append(running.replied_at + EXIT_GRACE_S)
            elif running.deadline is not None:
                alarms.append(running.deadline)
        return alarms

    def _read(self, running: _Running) -> None:
        running.child.read_stderr()
        try:
            lines = running.child.read_lines()
            for line in lines:
                self._take(running, line)
        except (OversizedLine, ProtocolError) as error:
            self._fail(running, "internal", f"the worker broke the protocol: {error}")
            return
        for fd in running.child.ended_fds:
            # A closed pipe is readable for ever; only the exit of the process counts now.
            with contextlib.suppress(KeyError):
                self._selector.unregister(fd)

    def _take(self, running: _Running, line: bytes) -> None:
        if not line.strip() or running.outcome is not None:
            return
        reply = decode_reply(line)
        match reply:
            case Ready():
                return
            case FoldDone() if reply.id == running.job.id:
                self._events.append(FoldFitted(running.job, reply))
            case TrainFailed() if reply.id in (None, running.job.id):
                self._settle(running, reply)
            case _:
                if getattr(reply, "id", None) != running.job.id:
                    raise ProtocolError(f"a {reply.status} reply for another job")
                self._settle(running, reply)  # type: ignore[arg-type]  # what is left is an Outcome

    def _settle(self, running: _Running, outcome: Outcome) -> None:
        running.outcome = outcome
        running.replied_at = self._clock()

    def _check(self, running: _Running) -> None:
        """Notice an exit, a passed deadline, or a process that has replied but will not go."""
        if running.job.id not in self._running:
            return
        now = self._clock()
        if running.child.exited():
            self._read(running)
            if running.job.id not in self._running:
                return
            if running.outcome is not None:
                self._end(running, running.outcome)
            else:
                self._died(running)
        elif running.outcome is not None:
            if now >= running.replied_at + EXIT_GRACE_S:
                self._end(running, running.outcome)
        elif running.deadline is not None and now >= running.deadline:
            self._fail(running, "timeout", f"no result within {running.job.deadline_s:.1f} s")

    def _died(self, running: _Running) -> None:
        status = running.child.kill()
        words = running.child.last_words()
        if running.attempt >= ATTEMPTS:
            message = f"the worker died {running.attempt} times, last {describe_exit(status)}"
            self._fail(running, "crashed", f"{message}\n{words}".strip())
            return
        self._release_child(running)
        with self._give_back_on_error(running.lease):
            self._start(
                running.job,
                running.lease,
                attempt=running.attempt + 1,
                first_started=running.first_started,
                deadline=running.deadline,
            )

    def _fail(self, running: _Running, kind: str, message: str) -> None:
        failed = {"kind": kind, "message": message, "id": running.job.id}
        self._end(running, TrainFailed.model_validate(failed))

    def _end(self, running: _Running, outcome: Outcome) -> None:
        self._release_child(running)
        self._leases.give_back(running.lease)
        wall_s = self._clock() - running.first_started
        self._events.append(JobEnded(running.job, outcome, wall_s))

    def _release_child(self, running: _Running) -> None:
        child = running.child
        for fd in (child.stdout_fd, child.stderr_fd, child.pidfd):
            with contextlib.suppress(KeyError):
                self._selector.unregister(fd)
        child.kill()
        child.close()
        del self._running[running.job.id]
