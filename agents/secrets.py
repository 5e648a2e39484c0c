"""Keep secrets out of the ledger and off the screens: a masked value says *** where one was.

Secret are: the password of a URL (scheme://user:PASSWORD@host), what its query gives as token, key,
secret or password, name=value pairs of that kind in any text, and the whole value of whatever is
named like a secret. A name is judged by its words: `api_key` and `dbPassword` are secrets,
`max_tokens` and `monkey` are not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any
from urllib.parse import quote

MASK = "***"
# A shorter text would be found in the middle of many words.
SHORTEST_SECRET = 4

_SECRET_WORDS = frozenset(
    {"password", "passwd", "passphrase", "pwd", "secret", "secrets", "token"}
    | {"credential", "credentials", "apikey"}
)
_SECRET_PAIRS = frozenset({("api", "key"), ("access", "key"), ("private", "key")})
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")

_NAMED = r"[\w.\-]*(?:token|secret|passw(?:or)?d|pwd|credential|signature|{more})"
_RUN = re.compile(r"\S+")
# One slash is what paths make of the two.
_USER = re.compile(r":/{1,2}[^\s:/]*:")
_IN_QUERY = re.compile(
    rf"(?P<before>[?&;]{_NAMED.format(more='key|sig')}=)(?P<secret>[^\s&;#\"']+)", re.IGNORECASE
)
_IN_PAIR = re.compile(
    rf"(?P<before>(?<![\w.\-]){_NAMED.format(more='api_?key|access_?key')}=)"
    r"(?P<secret>\"[^\"]*\"|'[^']*'|[^\s&;#\"',)}]+)",
    re.IGNORECASE,
)
# As JSON and Python print it: "api_key": "SECRET".
_IN_RECORD = re.compile(
    rf"(?P<before>(?P<quote>[\"']){_NAMED.format(more='api_?key|access_?key')}(?P=quote)"
    r"\s*:\s*)(?P<secret>\"(?:[^\"\\]|\\.)+\"|'(?:[^'\\]|\\.)+')",
    re.IGNORECASE,
)
_PAIRS = (_IN_QUERY, _IN_PAIR, _IN_RECORD)


def mask(value: Any, name: str = "", secrets: Collection[str] = ()) -> Any:
    """A text or JSON value without its secrets; masking twice changes nothing more.

    name: what the value is called, "" for nothing. None, true, false and "" hide nothing and stay.
    An object {"name": ..., "value": ...} is taken as a value of that name. secrets: texts that
    must not be in it either.
    """
    if is_secret_name(name):
        return _hidden(value, secrets)
    match value:
        case str():
            return mask_text(value, secrets)
        case Mapping():
            return {k: mask(v, _name_of(value, k), secrets) for k, v in value.items()}
        case list() | tuple():
            return [mask(item, "", secrets) for item in value]
        case _:
            return value


def has_secret(value: Any, name: str = "") -> bool:
    """Whether the value holds a secret, or held one before it was masked."""
    return any(MASK in text for text in _texts(mask(value, name)))


def secrets_in(values: Mapping[str, Any]) -> frozenset[str]:
    """The secret texts among values by name, for mask_text; those under four characters are not."""
    return frozenset(s for s in _secrets(values, "") if len(s) >= SHORTEST_SECRET and s != MASK)


def masked_names(values: Mapping[str, Any]) -> list[str]:
    """The names, in order, whose values are kept masked; a value that really is *** is not one."""
    secrets = secrets_in(values)
    return [name for name, value in values.items() if mask(value, name, secrets) != value]


def mask_text(text: str, secrets: Collection[str] = ()) -> str:
    """A line for people or a log, without these secrets, and without any that has a known shape."""
    for form in forms(secrets):
        text = text.replace(form, MASK)
    return _mask_known_shapes(text)


def forms(secrets: Collection[str]) -> tuple[str, ...]:
    """How secrets stand in texts: bare, in a URL, in JSON; the longest first.

    One secret may be a part of another.
    """
    found = set(secrets)
    found |= {quote(secret, safe="", errors="replace") for secret in secrets}
    found |= {json.dumps(secret)[1:-1] for secret in secrets}
    return tuple(sorted(found, key=lambda form: (-len(form), form)))


def is_secret_name(name: str) -> bool:
    """Whether what is called so is a secret whatever it looks like: "api_key", "dbPassword"."""
    words = [word.lower() for word in _WORDS.findall(name)]
    return not (_SECRET_WORDS.isdisjoint(words) and _SECRET_PAIRS.isdisjoint(pairwise(words)))


def _mask_known_shapes(text: str) -> str:
    pieces, end = [], 0
    for start, stop in _passwords(text):
        pieces += [text[end:start], MASK]
        end = stop
    masked = "".join([*pieces, text[end:]])
    for pattern in _PAIRS:
        masked = pattern.sub(rf"\g<before>{MASK}", masked)
    return masked


def _passwords(text: str) -> Iterator[tuple[int, int]]:
    """Where passwords of URLs begin and end.

    One reaches to the last @ without a blank before it: libraries take passwords that hold / and @.
    Two searches and no pattern that goes back, which would take minutes over a text of megabytes.
    """
    for run in _RUN.finditer(text):
        at = text.rfind("@", *run.span())
        user = _USER.search(text, run.start(), max(at, 0))
        if user is not None and user.end() < at:
            yield user.end(), at


def _name_of(record: Mapping[Any, Any], key: Any) -> str:
    """The name that the value under this key goes by."""
    called = record.get("name") if key == "value" else key
    return called if isinstance(called, str) else ""


def _hidden(value: Any, secrets: Collection[str]) -> Any:
    if value is None or isinstance(value, bool) or value == "":
        return value
    if isinstance(value, Mapping) and "value" in value:  # with its origin beside it
        return {**mask(value, "", secrets), "value": _hidden(value["value"], secrets)}
    return MASK


def _secrets(value: Any, name: str) -> Iterable[str]:
    if is_secret_name(name):
        with_origin = isinstance(value, Mapping) and "value" in value
        yield from _texts(value["value"] if with_origin else value)
        return
    match value:
        case str():
            yield from (value[start:stop] for start, stop in _passwords(value))
            for pattern in _PAIRS:
                yield from (found["secret"].strip("\"'") for found in pattern.finditer(value))
        case Mapping():
            for key, item in value.items():
                yield from _secrets(item, _name_of(value, key))
        case list() | tuple():
            for item in value:
                yield from _secrets(item, "")
        case _:
            return


def _texts(value: Any) -> Iterable[str]:
    """Every text and number inside a JSON value, as texts."""
    match value:
        case None | bool():
            return
        case Mapping():
            for item in value.values():
                yield from _texts(item)
        case list() | tuple():
            for item in value:
                yield from _texts(item)
        case _:
            yield str(value)
