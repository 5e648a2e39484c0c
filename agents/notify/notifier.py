"""Tell people what happened, through apprise, without ever delaying or failing a run.

Messages go through a bounded queue to a thread of their own, each with a time limit. What could not
be sent is noted, with the address masked; where apprise is missing this is said once.
"""

from __future__ import annotations

import queue
import socket
import threading
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Self

from agents.notify.send import (
    AppriseMissing,
    Class,
    load_apprise,
    masked_address,
    send_by_apprise,
)
from agents.secrets import mask_text
from steps.policies.model import NotifyPolicy

QUEUE_LENGTH = 100
LIMIT_S = 10.0
CLOSING_S = 5.0
# Threads that a server keeps hanging are given up; more of them than this are not started.
_MOST_HANGING = 4
_SUBJECT_CHARACTERS = 150
_LINE_CHARACTERS = 400


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What every message says. workspace: the folder's name; host: this machine's."""

    run_id: str
    workspace: str
    host: str

    @classmethod
    def here(cls, run_id: str, workspace: str) -> Self:
        """The facts on this machine."""
        return cls(run_id, workspace, socket.gethostname())


@dataclass(frozen=True, slots=True)
class Message:
    """What people are told. lines: plain text; the notifier masks and cuts it."""

    about: Class
    subject: str
    lines: tuple[str, ...]

    @property
    def body(self) -> str:
        """The lines as one text."""
        return "\n".join(self.lines)


def run_started(facts: RunFacts, doing: str) -> Message:
    """A run begins. doing: "steps 1..6"."""
    return _message("info", f"run started ({facts.run_id})", facts, f"running {doing}", "")


def run_ended(
    facts: RunFacts,
    state: str,
    message: str,
    step: int | None = None,
    asked_by: str | None = None,
) -> Message:
    """A run is over. state: as in the ledger; step: the one that it ended at, if any.

    asked_by: the run that has asked what it waits for, where that is another: people were told.
    """
    status = "watcher --status"
    match state:
        case "complete":
            said = ("info", "run complete", status)
        case "refused":
            said = ("info", "prediction refused, no signal", status)
        case "halted":
            said = ("info", "run halted", "watcher --run-pipeline --resume, once it may go on")
        case "interrupted":
            said = ("info", "run interrupted", "watcher --run-pipeline --resume")
        case "waiting" if asked_by not in {None, facts.run_id}:
            said = ("info", f"run waits for what {asked_by} asked", f"watcher --approve {asked_by}")
        case "waiting":
            said = ("critical", "run waits for you", f"watcher --approve {facts.run_id}")
        case _:
            what = "run" if step is None else f"step {step}"
            said = ("critical", f"{what} failed", f"watcher --explain {facts.run_id}")
    about: Class = "critical" if said[0] == "critical" else "info"
    return _message(about, f"{said[1]} (run {facts.run_id})", facts, message, said[2])


def step_retried(facts: RunFacts, step: int, reason: str) -> Message:
    """A step is tried again. reason: the decision's."""
    subject = f"step {step} is retried (run {facts.run_id})"
    return _message("degraded", subject, facts, reason, f"watcher --explain {facts.run_id}")


def family_skipped(facts: RunFacts, family: str, reason: str) -> Message:
    """A model family does not train, or failed."""
    subject = f"{family} was left out (run {facts.run_id})"
    return _message("degraded", subject, facts, reason, f"watcher --explain {facts.run_id}")


def no_signal(facts: RunFacts, headline: str) -> Message:
    """A step found nothing to predict."""
    subject = f"no signal (run {facts.run_id})"
    return _message("degraded", subject, facts, headline, "watcher --status")


def not_started(workspace: str, reason: str) -> Message:
    """A daemon could not start a run, so there is none to ask about. workspace: the folder's name.

    reason: one sentence.
    """
    host = f"host: {socket.gethostname()}"
    lines = (reason, f"workspace: {workspace}", host, "next: watcher --doctor")
    return Message("critical", "watcher: no run could be started", lines)


def _message(about: Class, subject: str, facts: RunFacts, what: str, next_step: str) -> Message:
    lines = [what, f"workspace: {facts.workspace}", f"host: {facts.host}", f"run: {facts.run_id}"]
    lines += [f"next: {next_step}"] if next_step else []
    return Message(about, f"watcher: {subject}", tuple(lines))


def _fit_to_send(message: Message, secrets: Collection[str]) -> Message:
    """The message without secrets, each line in bounds."""
    lines = tuple(_one_line(line, _LINE_CHARACTERS, secrets) for line in message.lines)
    subject = _one_line(message.subject, _SUBJECT_CHARACTERS, secrets)
    return Message(message.about, subject, lines)


def _one_line(text: str, length: int, secrets: Collection[str]) -> str:
    # Masked before it is cut: half a secret no longer looks like one.
    line = " ".join(mask_text(text, secrets).split())
    return line if len(line) <= length else line[: length - 3] + "..."


class Notifier:
    """Send messages to the addresses that the policy names at that moment.

    read_policy: policy.notify in force. note: gets (code, sentence) for what went wrong; called in
    the caller's thread only, inside tell and close. load: what sending needs, once; raises
    AppriseMissing. send: (address, class, subject, body); raises OSError with the reason. secrets:
    texts that no message may hold, beside those of a known shape. limit_s, closing_s: seconds that
    a message may take, and that the end may wait.
    """

    def __init__(
        self,
        read_policy: Callable[[], NotifyPolicy],
        note: Callable[[str, str], None],
        *,
        load: Callable[[], None] = load_apprise,
        send: Callable[[str, Class, str, str], None] = send_by_apprise,
        secrets: Collection[str] = (),
        limit_s: float = LIMIT_S,
        closing_s: float = CLOSING_S,
        queue_length: int = QUEUE_LENGTH,
    ) -> None:
        self._read_policy = read_policy
        self._note = note
        self._load = load
        self._send = send
        self._secrets = secrets
        self._limit_s = limit_s
        self._closing_s = closing_s
        self._queue_length = queue_length
        self._problems: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
        self._sender: threading.Thread | None = None
        self._hanging: list[threading.Thread] = []
        # Guarded by the condition: both threads use them.
        self._news = threading.Condition()
        self._waiting: deque[tuple[str, Message]] = deque()
        self._in_flight = 0
        self._dropped = 0
        self._ending = False
        self._missing = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def tell(self, message: Message) -> None:
        """Hand a message over; returns at once. What does not fit the queue is counted."""
        self._pass_on_problems()
        addresses: Sequence[str] = getattr(self._read_policy(), message.about)
        if not addresses:
            return
        message = _fit_to_send(message, self._secrets)
        with self._news:
            if self._missing or self._ending:
                return
            for address in addresses:
                if len(self._waiting) < self._queue_length:
                    self._waiting.append((address, message))
                else:
                    self._dropped += 1
            self._news.notify()
        if self._sender is None:
            self._sender = threading.Thread(target=self._work, name="notify", daemon=True)
            self._sender.start()

    def close(self) -> None:
        """Wait a few seconds for what is not sent yet, then say what was not. Ends the notifier."""
        with self._news:
            self._ending = True
            self._news.notify()
        if self._sender is not None:
            self._sender.join(self._closing_s)
        with self._news:
            unsent = len(self._waiting) + self._in_flight
            self._waiting.clear()
            dropped, self._dropped = self._dropped, 0
        self._pass_on_problems()
        if unsent:
            self._note(
                "notify_unsent",
                f"{unsent} notifications were not sent within {self._closing_s:g} s of the end of "
                "the run",
            )
        if dropped:
            self._note("notify_dropped", f"{dropped} notifications were dropped: too many at once")

    def _pass_on_problems(self) -> None:
        while not self._problems.empty():
            self._note(*self._problems.get())

    def _work(self) -> None:
        """The sender's thread: one message after the other until the notifier ends."""
        try:
            self._load()
        except AppriseMissing as fault:
            self._problems.put(("notify_missing", str(fault)))
            with self._news:
                self._missing = True
                self._waiting.clear()  # that one sentence stands for them all
            return
        while True:
            with self._news:
                self._news.wait_for(lambda: self._waiting or self._ending)
                if not self._waiting:
                    return
                address, message = self._waiting.popleft()
                self._in_flight = 1
            reason = self._deliver(address, message)
            with self._news:
                self._in_flight = 0
            if reason is not None:
                said = f"{message.subject!r} did not reach {masked_address(address)}: {reason}"
                self._problems.put(("notify_failed", said))

    def _deliver(self, address: str, message: Message) -> str | None:
        """Send within the time limit; returns why it was not sent, None where nothing is to say."""
        self._hanging = [thread for thread in self._hanging if thread.is_alive()]
        if len(self._hanging) >= _MOST_HANGING:
            return f"not tried: {len(self._hanging)} earlier ones hang still"
        outcomes: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        thread = threading.Thread(
            target=self._send_one, args=(address, message, outcomes), name="notify 1", daemon=True
        )
        thread.start()
        try:
            return outcomes.get(timeout=self._limit_s)
        except queue.Empty:
            self._hanging.append(thread)
            return f"no answer within {self._limit_s:g} s"

    def _send_one(
        self, address: str, message: Message, outcomes: queue.SimpleQueue[str | None]
    ) -> None:
        try:
            self._send(address, message.about, message.subject, message.body)
        except OSError as fault:
            outcomes.put(str(fault))
        else:
            outcomes.put(None)
