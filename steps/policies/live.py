"""The policy in force: the file re-read by content, the last good one kept.

A file that is half saved, not JSON, or breaks the schema never takes effect: the policy before it
stays, and the reason is reported once for each bad content.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from steps.policies.model import Policy, PolicyError, parse_policy
from steps.strict_json import MAX_BYTES

log = logging.getLogger(__name__)


def load_policy(path: Path) -> Policy:
    """Read a policy file; raises PolicyError if it is missing or unusable."""
    return parse_policy(_read(path), str(path))


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """What re-reading found: a new policy in force, or a problem with the file (else None).

    changed: "key: old -> new" for each key whose value is another one.
    """

    policy: Policy
    changed: tuple[str, ...] = ()
    problem: str | None = None


class LivePolicy:
    """The policy in force: re-read by content, never loosened by a file that cannot be read."""

    def __init__(self, path: Path, last_good: Policy | None = None) -> None:
        """last_good: in force while the file cannot be used; without it, PolicyError is raised."""
        self._path = path
        try:
            text = _read(path)
            self.current = parse_policy(text, str(path))
            self._seen = _digest(text)
        except PolicyError:
            if last_good is None:
                raise
            self.current, self._seen = last_good, ""

    @classmethod
    def handed_over(cls, path: str, snapshot: Mapping[str, Any] | None) -> Self:
        """The policy file of a step's request; while it cannot be used, the watcher's own snapshot.

        Raises PolicyError where there is neither.
        """
        return cls(Path(path), None if snapshot is None else Policy.model_validate(snapshot))

    def look(self) -> Policy:
        """The policy in force now; what has changed since the last look goes to the log."""
        change = self.refresh()
        if change is not None and change.problem is not None:
            log.warning("policy file not used, the last good one stays: %s", change.problem)
        elif change is not None and change.changed:
            log.warning("policy changed: %s", "; ".join(change.changed))
        return self.current

    def refresh(self) -> PolicyChange | None:
        """Read the file again; None when its content is as at the last reading."""
        unreadable: str | None = None
        try:
            text = _read(self._path)
        except PolicyError as error:
            text = f"\0{error}"
            unreadable = str(error)
        digest = _digest(text)
        if digest == self._seen:
            return None
        self._seen = digest
        if unreadable is not None:
            return PolicyChange(self.current, problem=unreadable)
        try:
            fresh = parse_policy(text, str(self._path))
        except PolicyError as error:
            return PolicyChange(self.current, problem=str(error))
        changed = tuple(_differences("", _plain(self.current), _plain(fresh)))
        self.current = fresh
        return PolicyChange(fresh, changed=changed)


def _plain(policy: Policy) -> dict[str, Any]:
    return policy.model_dump(mode="json", exclude={"schema_"})


def _differences(prefix: str, old: Any, new: Any) -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        lines = []
        for key in sorted(old.keys() | new.keys()):
            lines += _differences(f"{prefix}.{key}".lstrip("."), old.get(key), new.get(key))
        return lines
    if prefix.startswith("notify."):  # addresses hold passwords
        return [] if old == new else [f"{prefix}: {len(old)} -> {len(new)} addresses"]
    return [] if old == new else [f"{prefix}: {old!r} -> {new!r}"]


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise PolicyError(f"{path}: must be at most {MAX_BYTES} bytes, got more")
        return content.decode("utf-8")
    except FileNotFoundError:
        raise PolicyError(f"{path}: no such policy file; `watcher --init` makes one") from None
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyError(f"{path}: cannot be read: {error}") from None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", errors="surrogatepass")).hexdigest()
