"""Where pages are served: this machine unless told, and beyond it only with a token."""

from __future__ import annotations

import socket

import pytest

from agents.errors import UsageError, WatcherError
from agents.serve.place import TOKEN_VARIABLE, take_place

CHOSEN = "a&token-that#nobody%guesses"


def test_loopback_asks_for_no_token():
    with take_place("127.0.0.1", 0, {}) as place:
        assert (place.token, place.is_loopback, place.any_address) == (None, True, False)
        assert place.address_with_token == place.address == f"http://127.0.0.1:{place.port}/"
        assert place.port != 0


def test_every_start_beyond_loopback_has_a_token_of_its_own():
    tokens = []
    for _ in range(2):
        with take_place("0.0.0.0", 0, {}) as place:
            assert not place.is_loopback
            assert place.address_with_token == f"{place.address}?token={place.token}"
            tokens.append(place.token)
    assert len(set(tokens)) == 2
    assert all(len(token) >= 43 for token in tokens)  # 256 bits in base 64


def test_token_that_a_person_has_chosen_holds_on_loopback_too():
    with take_place("127.0.0.1", 0, {TOKEN_VARIABLE: CHOSEN}) as place:
        assert place.token == CHOSEN
        assert place.address_with_token.endswith("/?token=a%26token-that%23nobody%25guesses")


@pytest.mark.parametrize(
    "weak", ["", "short", "with a blank in the middle", "wörter-sind-kein-ascii"]
)
def test_weak_token_is_refused_without_quoting_it(weak):
    with pytest.raises(UsageError, match=TOKEN_VARIABLE) as raised:
        take_place("127.0.0.1", 0, {TOKEN_VARIABLE: weak})
    assert not weak or weak not in str(raised.value)


def test_port_that_another_program_has_is_told_with_what_helps():
    with take_place("127.0.0.1", 0, {}) as first:
        with pytest.raises(WatcherError, match=f"{first.port}: another program.*--port") as raised:
            take_place("127.0.0.1", first.port, {})
        assert raised.value.exit_code == 1


@pytest.mark.parametrize(
    ("host", "port", "named"),
    [
        ("127.0.0.1", 65536, "--port must be 0..65535, got 65536"),
        ("127.0.0.1", -1, "--port must be"),
        ("192.0.2.1", 0, "--host must be an address of this machine"),  # kept for documents
        ("no such host", 0, "--host must be an address or a name"),
        ("x" * 80, 0, "--host must be an address or a name"),
    ],
)
def test_address_that_cannot_be_is_a_usage_error(host, port, named):
    with pytest.raises(UsageError, match=named):
        take_place(host, port, {})


def test_ipv6_loopback_is_shown_as_browsers_want_it():
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    try:
        place = take_place("::1", 0, {})
    except UsageError:
        pytest.skip("no IPv6 loopback here")
    with place:
        assert place.token is None
        assert place.address == f"http://[::1]:{place.port}/"


def test_place_is_free_again_when_it_is_left():
    with take_place("127.0.0.1", 0, {}) as place:
        port = place.port
    with take_place("127.0.0.1", port, {}) as again:
        assert again.port == port
