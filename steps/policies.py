"""watcher_policies.json -> Policy, re-read while it is in use, the last good one kept.

People edit the file live. A file that is half saved, not JSON, or breaks the schema never takes
effect: the policy in force stays, and the reason is reported once for each bad content.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

POLICY_FILE = "watcher_policies.json"
HALT_FILE = "watcher_halt.flag"

StepNumber = Annotated[str, Field(pattern=r"^\d+$")]
Minutes = Annotated[float, Field(gt=0, le=7 * 24 * 60)]


class PolicyError(ValueError):
    """A policy file that cannot be used; the message names the file, the key and the value."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StepsPolicy(_Section):
    """Which steps may start, and for how long they may run."""

    default_timeout_minutes: Minutes = Field(
        default=120, description="A step's time limit, unless timeout_minutes names the step."
    )
    timeout_minutes: dict[StepNumber, Minutes] = Field(
        default_factory=lambda: {"5": 360.0},
        description='Time limits by step number, e.g. {"5": 360}.',
    )
    kill_grace_s: Annotated[float, Field(ge=0, le=600)] = Field(
        default=10, description="Seconds between asking a step to stop and killing its whole tree."
    )
    do_not_start: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        default=(), description="Numbers of steps that must not be started."
    )


class RetriesPolicy(_Section):
    """How often a failed step is tried again."""

    max_per_step: Annotated[int, Field(ge=0, le=20)] = Field(
        default=3, description="Retries of one step in one run."
    )
    max_per_run: Annotated[int, Field(ge=0, le=100)] = Field(
        default=10, description="Retries of all steps in one run."
    )
    backoff_s: Annotated[float, Field(ge=0, le=3600)] = Field(
        default=5,
        description="Pause before the first retry of a step; doubled for each further one.",
    )


class FamiliesPolicy(_Section):
    """Which model families may train; false also ends a family's trials while a run is on."""

    neural_net: bool = True
    xgboost: bool = True
    lightgbm: bool = True
    catboost: bool = True


class TrainingPolicy(_Section):
    """What Step 5 may use."""

    families: FamiliesPolicy = Field(default_factory=FamiliesPolicy)
    use_gpus: bool = Field(
        default=True, description="false: train on CPU slots even where there are GPUs."
    )
    # The one key whose absence is stricter than the shipped file.
    use_persistent_workers: bool = Field(
        default=False,
        description="true: a worker process serves many trials; false or missing: a process a "
        "trial. The results are the same.",
    )


class PublishPolicy(_Section):
    """What may become the winner that other steps and people use."""

    leaked: bool = Field(
        default=False,
        description="true: publish a winner although one or two features give the target away.",
    )


class Policy(_Section):
    """What people allow. Edited while runs are on; every key has its shipped default here."""

    schema_: str | None = Field(default=None, alias="$schema")
    schema_version: Literal[1] = 1
    halt: bool = Field(
        default=False, description="true: stop at the next safe point and start nothing."
    )
    halt_reason: str = Field(default="", description="Shown to whoever asks why the run stopped.")
    steps: StepsPolicy = Field(default_factory=StepsPolicy)
    retries: RetriesPolicy = Field(default_factory=RetriesPolicy)
    training: TrainingPolicy = Field(default_factory=TrainingPolicy)
    publish: PublishPolicy = Field(default_factory=PublishPolicy)

    def timeout_s(self, step: int, manifest_minutes: float | None = None) -> float:
        """Time limit of a step in seconds: the policy's own for it, the manifest's, the default."""
        minutes = self.steps.timeout_minutes.get(str(step))
        if minutes is None:
            minutes = manifest_minutes or self.steps.default_timeout_minutes
        return minutes * 60


def parse_policy(text: str, source: str) -> Policy:
    """Read a policy from JSON text; raises PolicyError naming `source` and the key at fault."""
    try:
        raw: Any = json.loads(text, object_pairs_hook=_no_key_twice)
    except json.JSONDecodeError as error:
        raise PolicyError(
            f"{source}: not valid JSON at line {error.lineno}, column {error.colno}: {error.msg}"
        ) from None
    except _KeyTwice as error:
        raise PolicyError(f"{source}: {error}") from None
    except RecursionError:
        raise PolicyError(f"{source}: nested too deeply to be a policy") from None
    try:
        return Policy.model_validate(raw)
    except ValidationError as error:
        raise PolicyError(f"{source}: {validation_message(error)}") from None


class _KeyTwice(ValueError):
    """A key that stands twice in one object: which value is meant cannot be known."""


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _KeyTwice(f"{key}: the key stands twice")
        found[key] = value
    return found


def validation_message(error: ValidationError) -> str:
    """One line for the first few faults that pydantic found: key, what was wanted, what was got."""
    faults = []
    for fault in error.errors(include_url=False)[:3]:
        key = ".".join(str(part) for part in fault["loc"]) or "(the file)"
        got = (
            ""
            if fault["type"] in {"missing", "extra_forbidden"}
            else f", got {_short(fault['input'])}"
        )
        message = "unknown key" if fault["type"] == "extra_forbidden" else fault["msg"]
        faults.append(f"{key}: {message}{got}")
    more = error.error_count() - len(faults)
    return "; ".join(faults) + (f"; and {more} more" if more > 0 else "")


def load_policy(path: Path) -> Policy:
    """Read a policy file; raises PolicyError if it is missing or unusable."""
    return parse_policy(_read(path), str(path))


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """What re-reading found: a new policy in force, or a problem with the file (else None)."""

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
    return [] if old == new else [f"{prefix}: {old!r} -> {new!r}"]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise PolicyError(f"{path}: no such policy file; `watcher --init` makes one") from None
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyError(f"{path}: cannot be read: {error}") from None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", errors="surrogatepass")).hexdigest()


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
