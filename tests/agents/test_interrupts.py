"""Signals that ask to stop: counted, remembered, and left to whoever had them before."""

import os
import signal

import pytest

from agents.interrupts import Interrupts


@pytest.fixture(autouse=True)
def _handlers():
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    # Whatever the tests were started under; one that is not counted must not end them.
    signal.signal(signal.SIGHUP, lambda *_: None)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def come(*numbers):
    for number in numbers:
        os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_is_counted_and_remembered_after_the_end(number):
    before = signal.getsignal(number)
    with Interrupts() as interrupts:
        come(number)
    assert (interrupts.count, interrupts.first) == (1, number)
    assert signal.getsignal(number) is before


def test_first_signal_is_the_one_that_is_remembered():
    with Interrupts() as interrupts:
        come(signal.SIGTERM, signal.SIGINT)
    assert (interrupts.count, interrupts.first) == (2, signal.SIGTERM)


@pytest.mark.parametrize(
    "numbers",
    [
        (signal.SIGHUP, signal.SIGHUP, signal.SIGHUP),
        (signal.SIGHUP, signal.SIGTERM, signal.SIGHUP),
        (signal.SIGTERM, signal.SIGHUP),
    ],
)
def test_hang_up_that_comes_again_and_again_kills_nothing(numbers):
    with Interrupts() as interrupts:
        come(*numbers)
    assert interrupts.count == 1


def test_hang_up_that_nohup_ignores_stays_ignored():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with Interrupts() as interrupts:
        come(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    assert interrupts.count == 0
