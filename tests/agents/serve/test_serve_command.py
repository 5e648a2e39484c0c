"""`watcher --serve` as a process of its own: its address, its end, what it refuses."""

from __future__ import annotations

import json
import re
import signal
import urllib.error
import urllib.request

import pytest

from agents.serve.place import TOKEN_VARIABLE, take_place
from steps.contract import ExitCode


def address_of(process):
    """What it prints first; it listens from then on."""
    return re.search(r"http://\S+", process.stderr.readline())[0]


def fetch(address):
    with urllib.request.urlopen(address, timeout=10) as answer:
        return answer.read().decode()


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, ExitCode.INTERRUPTED), (signal.SIGHUP, ExitCode.DONE)]
)
def test_signal_ends_it_cleanly(spawn, number, code):
    process = spawn("--serve", "--port", "0", "--json")
    assert "Nothing has run here yet" in fetch(address_of(process))
    process.send_signal(number)
    out, err = process.communicate(timeout=10)
    assert process.returncode == code
    assert json.loads(out)["status"] == "ended"
    assert "Traceback" not in err


def test_run_is_seen_while_it_is_on_and_is_not_disturbed(spawn, folder, wait_until):
    pages = spawn("--serve", "--port", "0")
    address = address_of(pages)
    run = spawn("--run-pipeline", "--json", "--params", '{"act": "polite"}')
    folder.pid()
    wait_until(lambda: "trial 1, fold 1/5" in fetch(address))
    run.send_signal(signal.SIGINT)
    out, _ = run.communicate(timeout=10)
    assert json.loads(out)["steps"][0]["result"]["status"] == "halted"
    wait_until(lambda: "interrupted" in fetch(address))


def test_beyond_this_machine_the_address_has_the_token_and_the_risk_is_told(spawn):
    process = spawn("--serve", "--port", "0", "--host", "0.0.0.0", "--json")
    address = address_of(process)
    port, token = re.search(r":(\d+)/\?token=(\S+)", address).groups()
    assert "not encrypted" in process.stderr.readline()
    with pytest.raises(urllib.error.HTTPError, match="401"):
        fetch(f"http://127.0.0.1:{port}/")
    assert "Nothing has run" in fetch(f"http://127.0.0.1:{port}/?token={token}")
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=10)
    assert process.returncode == ExitCode.DONE
    assert token not in out + err  # it was printed once


def test_port_that_is_taken_is_an_error_of_the_surroundings(watcher):
    with take_place("127.0.0.1", 0, {}) as place:
        answer = watcher("--serve", "--port", str(place.port))
    assert answer.code == ExitCode.STEP_FAILED
    assert f"port {place.port}: another program" in answer.err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--status", "--port", "0"), "--port goes with --serve"),
        (("--status", "--host", ""), "--host goes with --serve"),
        (("--serve", "--status"), "one thing at a time"),
        (("--serve", "--port", "70000"), "--port must be 0..65535"),
        (("--serve", "--port", "x"), "invalid int value"),
        (("--serve", "--workspace", "nowhere"), "watcher --init nowhere"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_listens(watcher, arguments, named):
    answer = watcher(*arguments)
    assert answer.code in {ExitCode.USAGE, ExitCode.STEP_FAILED}
    assert named in answer.err


def test_weak_token_of_the_environment_is_a_usage_error(watcher, monkeypatch):
    monkeypatch.setenv(TOKEN_VARIABLE, "weak")
    answer = watcher("--serve", "--port", "0")
    assert answer.code == ExitCode.USAGE
    assert TOKEN_VARIABLE in answer.err
