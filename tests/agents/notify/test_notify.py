"""Notifications: what people get, and that no server, however dead, touches a run."""

import json
import logging
import socket
import subprocess
import sys
import threading
import time
import tomllib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from agents.notify import notifier as notify
from agents.notify.notifier import Message, Notifier, RunFacts
from agents.notify.send import (
    INSTALL,
    AppriseMissing,
    load_apprise,
    masked_address,
    send_by_apprise,
)
from steps.policies.model import NotifyPolicy

ROOT = Path(__file__).parents[3]
# apprise imports a module that Python has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
FACTS = RunFacts("20261122-031024-d2b8", "my_workspace", "box")


class Server:
    """An HTTP server on this machine that keeps what it got. answer: a status, None: none ever."""

    def __init__(self, answer):
        self.got = []
        self.arrived = threading.Event()
        self.released = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                length = int(self.headers["Content-Length"])
                server.got.append(json.loads(self.rfile.read(length)))
                server.arrived.set()
                if answer is None:
                    server.released.wait(30)
                    return
                self.send_response(answer)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.address = f"json://127.0.0.1:{self._http.server_port}/hook"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self):
        self.released.set()
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def serve(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    started = []

    def start(answer=200):
        started.append(Server(answer))
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def notes():
    return []


def notifier(notes, addresses, **options):
    policy = NotifyPolicy(critical=addresses, degraded=addresses, info=())
    return Notifier(lambda: policy, lambda *note: notes.append(note), **options)


def nothing():
    """What the tests' own senders need."""


def failed(step=5, why="step 5 did not finish within its limit of 6 h"):
    return notify.run_ended(FACTS, "failed", why, step)


# What people read.


def test_message_says_what_where_and_what_to_do_next():
    message = failed()
    assert (message.about, message.subject) == (
        "critical",
        "watcher: step 5 failed (run 20261122-031024-d2b8)",
    )
    assert message.lines == (
        "step 5 did not finish within its limit of 6 h",
        "workspace: my_workspace",
        "host: box",
        "run: 20261122-031024-d2b8",
        "next: watcher --explain 20261122-031024-d2b8",
    )


@pytest.mark.parametrize(
    ("message", "about", "says"),
    [
        (notify.run_started(FACTS, "steps 1..6"), "info", "run started"),
        (notify.run_ended(FACTS, "complete", "done"), "info", "run complete"),
        (notify.run_ended(FACTS, "halted", "too hot"), "info", "run halted"),
        (notify.run_ended(FACTS, "interrupted", "Ctrl-C"), "info", "run interrupted"),
        (notify.run_ended(FACTS, "waiting", "before step 6"), "critical", "run waits for you"),
        (notify.run_ended(FACTS, "failed", "no input"), "critical", "run failed"),
        (notify.step_retried(FACTS, 5, "out of memory"), "degraded", "step 5 is retried"),
        (notify.family_skipped(FACTS, "catboost", "off"), "degraded", "catboost was left out"),
        (notify.no_signal(FACTS, "nothing to predict"), "degraded", "no signal"),
    ],
)
def test_each_occasion_has_its_class_and_three_to_six_lines(message, about, says):
    assert message.about == about
    assert says in message.subject
    assert 3 <= len(message.lines) <= 6


def test_waiting_run_names_the_command_that_approves_it():
    message = notify.run_ended(FACTS, "waiting", "before step 6")
    assert message.about == "critical"
    assert message.lines[-1] == "next: watcher --approve 20261122-031024-d2b8"


def test_run_that_waits_for_what_another_has_asked_names_that_one_and_alarms_nobody_again():
    message = notify.run_ended(FACTS, "waiting", "at step 5", 5, "20261121-000000-aaaa")
    assert message.about == "info"
    assert message.lines[-1] == "next: watcher --approve 20261121-000000-aaaa"


def test_secrets_are_masked_before_a_long_line_is_cut():
    sent = []
    why = "cannot open postgresql://me:hunter22@db/x with s3cr3t-value " + "x" * 1000
    with notifier(
        [],
        ("json://a",),
        load=nothing,
        send=lambda *got: sent.append(got),
        secrets={"s3cr3t-value"},
    ) as to_people:
        to_people.tell(failed(why=f"{why}\nand a second line"))
    ((_, about, _, body),) = sent
    assert about == "critical"
    assert "hunter22" not in body
    assert "s3cr3t-value" not in body
    assert max(map(len, body.splitlines())) == 400


# Sending, to real servers.


def test_message_arrives_as_it_was_written(serve, notes):
    server = serve()
    with notifier(notes, (server.address,)) as to_people:
        to_people.tell(failed())
    (got,) = server.got
    assert got["title"] == failed().subject
    assert got["message"] == failed().body
    assert got["type"] == "failure"
    assert notes == []


def test_each_class_goes_to_its_own_addresses(serve, notes):
    first, second = serve(), serve()
    policy = NotifyPolicy(critical=(first.address,), info=(second.address,))
    with Notifier(lambda: policy, lambda *note: notes.append(note)) as to_people:
        to_people.tell(failed())
        to_people.tell(notify.run_ended(FACTS, "complete", "done"))
        to_people.tell(notify.no_signal(FACTS, "nothing"))
    assert [len(server.got) for server in (first, second)] == [1, 1]
    assert notes == []


def test_addresses_are_those_of_the_policy_at_that_moment(serve, notes):
    server = serve()
    policies = iter([NotifyPolicy(), NotifyPolicy(critical=(server.address,))])
    with Notifier(lambda: next(policies), lambda *note: notes.append(note)) as to_people:
        to_people.tell(failed(why="first"))
        to_people.tell(failed(why="second"))
    (got,) = server.got
    assert got["message"].startswith("second")


def test_server_that_answers_500_is_noted_with_its_address_masked(serve, notes, capfd):
    server = serve(500)
    secret = server.address.replace("json://", "json://me:hunter22@") + "/t0ken-in-path"
    with notifier(notes, (secret,)) as to_people:
        to_people.tell(failed())
    ((code, said),) = notes
    assert code == "notify_failed"
    assert "did not reach json://127.0.0.1:" in said
    assert "500" in said
    assert not any(part in said for part in ("hunter22", "t0ken", "hook", "me:"))
    assert capfd.readouterr().err == ""


def test_nobody_listening_is_noted(notes):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused
        with notifier(notes, (f"json://127.0.0.1:{taken.getsockname()[1]}",)) as to_people:
            to_people.tell(failed())
    ((code, said),) = notes
    assert code == "notify_failed"
    assert "json://127.0.0.1: " in said


def test_server_that_never_answers_holds_up_nobody(serve, notes):
    server = serve(None)
    to_people = notifier(notes, (server.address,), limit_s=0.2)
    began_s = time.monotonic()
    to_people.tell(failed())
    assert time.monotonic() - began_s < 5  # the server keeps it for 30 s
    assert server.arrived.wait(10)
    to_people.close()
    assert time.monotonic() - began_s < 10
    ((code, said),) = notes
    assert (code, said.rpartition(": ")[2]) == ("notify_failed", "no answer within 0.2 s")


def test_end_of_a_run_waits_a_moment_and_says_what_was_not_sent(serve, notes):
    server = serve(None)
    to_people = notifier(notes, (server.address,), closing_s=0.2)
    for _ in range(3):
        to_people.tell(failed())
    assert server.arrived.wait(10)
    began_s = time.monotonic()
    to_people.close()
    assert time.monotonic() - began_s < 5
    assert notes == [
        ("notify_unsent", "3 notifications were not sent within 0.2 s of the end of the run")
    ]


def test_process_ends_although_a_server_hangs(serve):
    server = serve(None)
    script = f"""
from agents.notify.notifier import Message, Notifier
from steps.policies.model import NotifyPolicy
policy = NotifyPolicy(info=({server.address + "?rto=60"!r},))
with Notifier(lambda: policy, print, closing_s=0.1) as to_people:
    to_people.tell(Message("info", "s", ("body",)))
    input()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert server.arrived.wait(30)
    out, _ = process.communicate(b"\n", timeout=15)
    assert process.returncode == 0
    assert b"1 notifications were not sent" in out


def test_flood_is_bounded_and_what_was_dropped_is_counted(notes):
    go, sent = threading.Event(), []

    def send(*got):
        go.wait(10)
        sent.append(got)

    to_people = notifier(notes, ("json://a",), load=nothing, send=send)
    for _ in range(1000):
        to_people.tell(failed())
    go.set()
    to_people.close()
    (dropped,) = [said for code, said in notes if code == "notify_dropped"]
    assert len(sent) in {100, 101}  # the queue, and the one that was on its way
    assert dropped == f"{1000 - len(sent)} notifications were dropped: too many at once"
    assert len(notes) == 1


def test_threads_that_hang_do_not_pile_up(notes):
    stuck, started = threading.Event(), []

    def send(*_):
        started.append(1)
        stuck.wait(10)

    to_people = notifier(notes, ("json://a",), load=nothing, send=send, limit_s=0.01)
    for _ in range(10):
        to_people.tell(failed())
    to_people.close()
    stuck.set()
    assert len(started) == 4
    assert sum("not tried: 4 earlier ones hang still" in said for _, said in notes) == 6


def test_fault_of_one_address_does_not_hide_the_next(serve, notes):
    server = serve()
    with notifier(notes, ("nosuchscheme://secret-token", server.address)) as to_people:
        to_people.tell(failed())
    assert len(server.got) == 1
    ((_, said),) = notes
    assert "did not reach nosuchscheme://***: apprise does not know" in said


def test_missing_apprise_is_one_warning_that_says_how_to_install_it(notes, monkeypatch):
    monkeypatch.setitem(sys.modules, "apprise", None)  # as if it were not installed
    with notifier(notes, ("json://127.0.0.1",)) as to_people:
        for _ in range(5):
            to_people.tell(failed())
    ((code, said),) = notes
    assert code == "notify_missing"
    assert "pip install 'watcher-pipeline[notify]'" in said


def test_install_command_is_the_projects():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"{project['name']}[notify]" in INSTALL
    assert "notify" in project["optional-dependencies"]


def test_nobody_to_tell_imports_nothing_and_starts_nothing():
    script = """
import sys, threading
from agents.notify.notifier import Message, Notifier
from steps.policies.model import NotifyPolicy
with Notifier(NotifyPolicy, print) as to_people:
    to_people.tell(Message("info", "s", ("body",)))
    assert threading.active_count() == 1
assert "apprise" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_message_after_the_end_is_not_taken(notes):
    sent = []
    to_people = notifier(notes, ("json://a",), load=nothing, send=lambda *got: sent.append(got))
    to_people.close()
    to_people.tell(Message("critical", "s", ()))
    assert sent == []


def test_fault_inside_apprise_is_told_without_its_text(monkeypatch):
    import apprise

    def broken(*_, **__):
        raise ValueError("json://me:hunter22@host")

    monkeypatch.setattr(apprise.plugins.N_MGR["json"], "notify", broken)
    with pytest.raises(OSError, match="apprise failed with ValueError"):
        send_by_apprise("json://127.0.0.1", "info", "s", "b")


def test_what_apprise_logs_in_another_thread_is_not_taken_for_ours(serve):
    server = serve(500)
    other = threading.Thread(target=logging.getLogger("apprise").warning, args=("not ours",))
    with pytest.raises(OSError, match="500"):
        send_by_apprise(server.address, "info", "s", "b")
    other.start()
    other.join()


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("json://me:pw@host.example:8080/path?x=token", "json://host.example"),
        ("JSONS://host/t", "JSONS://host"),
        ("mailto://me:p@ss@gmail.com", "mailto://gmail.com"),
        ("tgram://123:token/42", "tgram://***"),
        ("discord://id/token", "discord://***"),
        ("https://hooks.slack.com/services/T/B/x", "https://***"),
        ("json://[::1]:80/x", "json://[::1]"),
    ],
)
def test_address_is_shown_without_what_could_be_a_secret(address, shown):
    assert masked_address(address) == shown


def test_missing_apprise_is_an_error_of_its_own(monkeypatch):
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(AppriseMissing):
        load_apprise()
