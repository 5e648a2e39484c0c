"""Take the address that pages are served at, and decide who may ask: a token beyond loopback."""

from __future__ import annotations

import errno
import ipaddress
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import quote

from agents.errors import UsageError, WatcherError

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8765
TOKEN_VARIABLE = "WATCHER_SERVE_TOKEN"  # noqa: S105 - the name of one
SHORTEST_TOKEN = 16
_TOKEN_BYTES = 32
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Place:
    """A listening socket. host: as a person wrote it; port: the one that was got, never 0.

    token: what viewers must show; None: this machine alone can reach the socket, and none is asked.
    names: what the Host header of a request may name; any_address: addresses may stand there too,
    since the socket listens on all of this machine's.
    """

    listener: socket.socket
    host: str
    port: int
    token: str | None
    is_loopback: bool
    names: frozenset[str]
    any_address: bool

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.listener.close()

    @property
    def address(self) -> str:
        """What a browser opens, without the token."""
        host = socket.gethostname() if self.any_address else self.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/"

    @property
    def address_with_token(self) -> str:
        """What a browser opens for the first time: later its cookie does."""
        if self.token is None:
            return self.address
        return f"{self.address}?token={quote(self.token, safe='')}"


def take_place(host: str, port: int, environ: Mapping[str, str]) -> Place:
    """Listen at an address. port: 0 takes a free one.

    Raises UsageError for an address that cannot be, or a token too short to be one; WatcherError
    where the port is taken or not allowed.
    """
    if not 0 <= port <= 65535:
        raise UsageError(f"--port must be 0..65535, got {port}")
    family, address = _resolved(host, port)
    loopback = _is_loopback(address)
    token = _given_token(environ)
    if token is None and not loopback:
        token = secrets.token_urlsafe(_TOKEN_BYTES)
    listener = _listener(family, address, host, port)
    own = {socket.gethostname().lower(), host.lower().partition("%")[0]}
    any_address = ipaddress.ip_address(address).is_unspecified
    return Place(
        listener=listener,
        host=host,
        port=listener.getsockname()[1],
        token=token,
        is_loopback=loopback,
        names=frozenset(_LOOPBACK_NAMES) | own,
        any_address=any_address,
    )


def _given_token(environ: Mapping[str, str]) -> str | None:
    """The token that a person has chosen; None where there is none."""
    token = environ.get(TOKEN_VARIABLE)
    if token is None:
        return None
    if (
        len(token) < SHORTEST_TOKEN
        or not token.isascii()
        or not token.isprintable()
        or " " in token
    ):
        raise UsageError(
            f"{TOKEN_VARIABLE} must be {SHORTEST_TOKEN} or more printable ASCII characters without "
            f"blanks, got {len(token)} characters; without it a random token is made"
        )
    return token


def _resolved(host: str, port: int) -> tuple[socket.AddressFamily, str]:
    """The family and the numeric address of a host's name."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as fault:
        raise UsageError(
            f"--host must be an address or a name of this machine, got {host!r}: {fault}"
        ) from None
    family, _, _, _, address = found[0]
    return family, str(address[0]).partition("%")[0]


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address).is_loopback


def _listener(family: socket.AddressFamily, address: str, host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((address, port), family=family, backlog=64)
    except OSError as fault:
        match fault.errno:
            case errno.EADDRINUSE:
                said = "another program (another `watcher --serve`?) has this port; "
                said += "--port names another one, --port 0 takes a free one"
            case errno.EACCES:
                said = "ports under 1024 are for the system; --port names another one"
            case errno.EADDRNOTAVAIL:
                raise UsageError(
                    f"--host must be an address of this machine, got {host!r}"
                ) from None
            case _:
                said = fault.strerror or str(fault)
        raise WatcherError(f"cannot listen at {host} port {port}: {said}") from None
