"""Let in only who may look: reading methods, known hosts, the token; and harden every answer.

A page of another site can make a browser send requests here, and can have its own name resolve to
this machine (DNS rebinding): the Host header gives that away. The token is compared in constant
time, and a browser keeps it in a cookie that no script can read and no other site can make it send.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from http.cookies import SimpleCookie
from urllib.parse import parse_qsl

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agents.serve.place import Place

METHODS = ("GET", "HEAD")
# For pages of our own: everything they need comes from here, nothing runs but our own script.
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HOST = re.compile(r"(?:\[(?P<v6>[0-9a-f:.]+)\]|(?P<name>[^:\[\]/@\s]+))(?::[0-9]*)?")
_HEADERS = {
    "Content-Security-Policy": PAGE_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}


class Guard:
    """An ASGI application around another one."""

    def __init__(self, app: ASGIApp, place: Place) -> None:
        self._app = app
        self._place = place
        # Cookies know no ports: two servers on one machine must not take each other's.
        self._cookie = f"watcher_{place.port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse."""
        if scope["type"] != "http":  # no websockets here; the server is told of no lifespan
            return
        headers = Headers(scope=scope)
        shown = self._token_shown(scope, headers)
        refusal = self._refusal(scope, headers, shown)

        async def send_hardened(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    answer.setdefault(name, value)
                if refusal is None and self._place.token is not None and _in_query(scope):
                    answer.append("Set-Cookie", self._set_cookie(scope))
            await send(message)

        await (refusal or self._app)(scope, receive, send_hardened)

    def _refusal(
        self, scope: Scope, headers: Headers, shown: str | None
    ) -> PlainTextResponse | None:
        if scope["method"] not in METHODS:
            said = f"{scope['method']} is not answered here: these pages can only be read\n"
            return PlainTextResponse(said, 405, {"Allow": ", ".join(METHODS)})
        if not self._is_for_us(headers.getlist("host")):
            said = f"the address must be the one that the watcher printed: {self._place.address}\n"
            return PlainTextResponse(said, 421)
        if not self._may_look(shown):
            said = (
                "a token is needed: open the address with ?token= that the watcher printed when "
                "it started, or send the header Authorization: Bearer TOKEN\n"
            )
            return PlainTextResponse(said, 401, {"WWW-Authenticate": 'Bearer realm="watcher"'})
        return None

    def _is_for_us(self, hosts: list[str]) -> bool:
        if len(hosts) != 1:
            return False
        name = _host_name(hosts[0])
        return name in self._place.names or (self._place.any_address and _is_address(name))

    def _may_look(self, shown: str | None) -> bool:
        token = self._place.token
        if token is None:
            return True
        return shown is not None and hmac.compare_digest(shown.encode(), token.encode())

    def _token_shown(self, scope: Scope, headers: Headers) -> str | None:
        """What the request shows: in its address, else in a header, else in the cookie."""
        if (in_query := _in_query(scope)) is not None:
            return in_query
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return given.strip()
        return cookie_parser(headers.get("cookie", "")).get(self._cookie)

    def _set_cookie(self, scope: Scope) -> str:
        cookie: SimpleCookie = SimpleCookie()
        cookie[self._cookie] = self._place.token or ""
        made = cookie[self._cookie]
        made["path"], made["httponly"], made["samesite"] = "/", True, "Strict"
        if scope["scheme"] == "https":
            made["secure"] = True
        return made.OutputString()


def _in_query(scope: Scope) -> str | None:
    query: bytes = scope["query_string"]
    pairs = parse_qsl(query.decode("latin-1")) if b"token" in query else []
    return next((value for name, value in pairs if name == "token"), None)


def _host_name(header: str) -> str:
    """The host of a Host header, lower case; "" where it is none."""
    found = _HOST.fullmatch(header.strip().lower())
    return (found["v6"] or found["name"]).removesuffix(".") if found else ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
