"""Send one message to one address by apprise, which is imported only here and only then.

Addresses are passwords: none appears whole in a reason, a log or an event.
"""

from __future__ import annotations

import logging
import re
import threading
from typing import Literal

Class = Literal["critical", "degraded", "info"]

# "Install the extra" in one place; the name is pyproject's.
INSTALL = "pip install 'watcher-pipeline[notify]'"

# Where the host really is a host. Of the others many have a token there (tgram://TOKEN/...).
# fmt: off
_WITH_HOST = frozenset((
    "json", "jsons", "xml", "xmls", "form", "forms", "mailto", "mailtos", "gotify", "gotifys",
    "matrix", "matrixs", "mqtt", "mqtts", "apprise", "apprises", "rocket", "rockets", "mmost",
    "mmosts", "ncloud", "nclouds", "rsyslog",
))
# fmt: on
_TYPES = {"critical": "failure", "degraded": "warning", "info": "info"}


class AppriseMissing(Exception):
    """Addresses are set, but apprise is not installed."""


def load_apprise() -> None:
    """Import apprise and what it knows to send with (about a second); raises AppriseMissing."""
    try:
        import apprise
    except ImportError:
        raise AppriseMissing(
            f"addresses are set in notify, but apprise is not installed: {INSTALL}"
        ) from None
    apprise.Apprise.instantiate("json://localhost")  # the first one loads them all


def send_by_apprise(address: str, about: Class, subject: str, body: str) -> None:
    """Send a text; raises OSError with the reason.

    Stays until the server has answered or apprise's own limits on the connection are reached.
    """
    import apprise

    with _Heard() as heard:
        asset = apprise.AppriseAsset(app_id="watcher", async_mode=False)
        # The service itself, not Apprise.notify: that one hands the work to a pool whose threads
        # hold up the end of the process as long as a server lets them hang.
        service = apprise.Apprise.instantiate(address, asset=asset)
        if service is None:
            raise OSError("apprise does not know what to do with this address")
        notify_type = apprise.NotifyType(_TYPES[about])
        try:
            sent = service.notify(body=body, title=subject, notify_type=notify_type)
        except (ValueError, TypeError, AttributeError, LookupError, RuntimeError) as fault:
            # Its text may quote the address.
            raise OSError(f"apprise failed with {type(fault).__name__}") from None
    if not sent:
        raise OSError(_without(address, heard.last) or "it was not accepted")


def masked_address(address: str) -> str:
    """The address as scheme://host, or scheme://*** where the host is a secret itself."""
    scheme, _, rest = address.partition("://")
    if scheme.lower() not in _WITH_HOST:
        return f"{scheme}://***"
    host = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[2]
    return f"{scheme}://{re.sub(r':[0-9]+$', '', host)}"


def _without(address: str, reason: str) -> str:
    """A reason in which no part of the address but its scheme and host appears."""
    shown = masked_address(address)
    for part in re.split(r"[/?#&=:@,]+", address):
        if len(part) >= 4 and part not in shown:
            reason = reason.replace(part, "***")
    return reason


class _Heard(logging.Handler):
    """The last warning that apprise gave in this thread; without it they would go to stderr."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._thread = threading.get_ident()
        self._logger = logging.getLogger("apprise")
        self.last = ""

    def __enter__(self) -> _Heard:
        self._logger.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._logger.removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it, on one line."""
        if record.thread == self._thread:
            self.last = " ".join(record.getMessage().split())
