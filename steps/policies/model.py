"""What a policy file may say: every key with its default, its effect, and when it acts.

The docs' table of keys is made from these models.
"""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from steps.policies.base import Section, Step, key
from steps.policies.health import HealthPolicy, MetricBounds
from steps.policies.retries import RetriesPolicy
from steps.strict_json import parse_object

_PASSWORD = re.compile(r"://\S*@")
POLICY_FILE = "watcher_policies.json"
HALT_FILE = "watcher_halt.flag"

StepNumber = Annotated[str, Field(pattern=r"^\d+$")]
Minutes = Annotated[float, Field(gt=0, le=7 * 24 * 60)]
Address = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9+.-]*://\S+$", max_length=500)]


class PolicyError(ValueError):
    """A policy file that cannot be used; the message names the file, the key and the value."""


class StepsPolicy(Section):
    """Which steps may start, and for how long they may run."""

    default_timeout_minutes: Minutes = key(
        120, "A step's time limit, unless the policy or its manifest names one.", "at once"
    )
    timeout_minutes: dict[StepNumber, Minutes] = key(
        {"5": 360.0}, 'Time limits by step number, e.g. {"5": 360}.', "at once"
    )
    kill_grace_s: Annotated[float, Field(ge=0, le=600)] = key(
        10.0,
        "Seconds between asking a step to stop at its time limit and killing its whole tree.",
        "when an attempt starts",
    )
    halt_grace_s: Annotated[float, Field(ge=0, le=86400)] = key(
        300.0,
        "Seconds that a step may take to stop when asked; then its tree is killed.",
        "at once",
    )
    do_not_start: tuple[Step, ...] = key(
        (), "Numbers of steps that must not be started.", "before each attempt"
    )
    allowed_packages: tuple[Annotated[str, Field(pattern=r"^[A-Za-z_]\w*$")], ...] = key(
        (),
        "Top-level Python packages, besides the product's own, whose modules a manifest may name.",
        "when a run starts",
    )


class FamiliesPolicy(Section):
    """Which model families may train."""

    neural_net: bool = True
    xgboost: bool = True
    lightgbm: bool = True
    catboost: bool = True


class TrainingPolicy(Section):
    """What Step 5 may use."""

    families: FamiliesPolicy = key(
        FamiliesPolicy(),
        "false: the family does not train; during the search its trials are cut off.",
        "within two seconds",
    )
    stop_after_trial: bool = key(
        False,
        "true: start no further trial; those that train are finished and kept, then the run halts.",
        "within two seconds",
    )
    use_gpus: bool = key(
        True,
        "false: CPU slots even where there are GPUs; trials on GPUs are moved to CPU slots.",
        "within two seconds",
    )
    gpus_off: tuple[Annotated[str, Field(min_length=1, max_length=100)], ...] = key(
        (), 'GPUs that must not be used, by UUID or index, e.g. ["1"].', "within two seconds"
    )
    # The one key whose absence is stricter than the shipped file.
    use_persistent_workers: bool = key(
        False,
        "true: a worker process serves many trials; false or missing: a process a trial. "
        "The results are the same.",
        "within two seconds",
    )
    tree_parallel_workers: Annotated[int, Field(ge=0, le=1024)] | None = key(
        None,
        "Most tree trials at once; of this and the parameter of that name the smaller counts "
        "(0 or null: the parameter alone).",
        "within two seconds",
    )
    n_concurrent_nn: Annotated[int, Field(ge=0, le=4096)] | None = key(
        None,
        "Most networks in one computation; of this and the parameter of that name the smaller "
        "counts (0 or null: the parameter alone).",
        "for the next batch of networks",
    )
    diagnostics: bool = key(
        True,
        "false: nothing is collected; the report says that health is not known.",
        "for the next trial and final fit",
    )


class TrackingPolicy(Section):
    """Copies of results for other tools: extras, best effort, never waited for long."""

    tensorboard: bool = key(
        False,
        "true: event files under diagnostics_outputs/tensorboard/; needs the extra `tensorboard`.",
        "when a run publishes",
    )
    mlflow_uri: Annotated[str, Field(max_length=500)] | None = key(
        None,
        "A tracking server or folder that runs are logged to; needs the extra `mlflow`.",
        "when a run publishes",
    )


class SkipPolicy(Section):
    """When Step 5 leaves a family out, for a while, whose last results were all critical."""

    enabled: bool = key(
        True,
        "false: no family is left out for its earlier results; they are counted all the same.",
        "when a search begins",
    )
    after_critical: Annotated[int, Field(ge=1, le=1000)] = key(
        3,
        "Critical results in a row, one a run, after which a family is left out.",
        "when a search begins",
    )
    hours: Annotated[float, Field(gt=0, le=365 * 24)] = key(
        24.0,
        "Hours from a family's last critical result until it is tried again.",
        "when a search begins",
    )


class PublishPolicy(Section):
    """What may become the winner that other steps and people use."""

    leaked: bool = key(
        False,
        "true: publish a winner although one or two features give the target away.",
        "when a run publishes",
    )


class ApprovalsPolicy(Section):
    """Where a run waits for a person: `watcher --approve RUN`."""

    before_steps: tuple[Step, ...] = key(
        (), "Numbers of steps that start only after an approval.", "before each attempt"
    )
    before_replacing_better: bool = key(
        False,
        "true: a new winner that scores lower than the one in force waits for an approval.",
        "when a run publishes",
    )


class PathsPolicy(Section):
    """What may be read outside the workspace."""

    allowed_roots: tuple[Annotated[str, Field(min_length=1, max_length=300)], ...] = key(
        (), "Folders, absolute, whose files steps may read.", "when a run starts"
    )
    inputs_by_absolute_path: bool = key(
        True,
        "true: an input that a person names by its absolute path may lie anywhere.",
        "when a run starts",
    )

    @model_validator(mode="after")
    def _absolute(self) -> Self:
        for root in self.allowed_roots:
            if not PurePath(root).is_absolute() or ".." in PurePath(root).parts:
                raise ValueError(f"allowed_roots: must be absolute paths without .., got {root!r}")
        return self


class NotifyPolicy(Section):
    """Who is told what, as addresses that apprise understands; needs the extra `notify`."""

    critical: tuple[Address, ...] = key(
        (), "Told when a run failed, timed out or waits for a person.", "when it happens"
    )
    degraded: tuple[Address, ...] = key(
        (),
        "Told when a step is retried, a family is skipped, or there is no signal.",
        "when it happens",
    )
    info: tuple[Address, ...] = key(
        (), "Told when a run starts, is complete or was halted.", "when it happens"
    )


class Policy(Section):
    """What people allow. Edited while runs are on; every key has its shipped default here."""

    schema_: str | None = Field(default=None, alias="$schema")
    schema_version: Literal[1] = 1
    halt: bool = key(
        False, "true: stop at the next safe point and start nothing.", "within two seconds"
    )
    halt_reason: str = key("", "Shown to whoever asks why the run stopped.", "with halt")
    steps: StepsPolicy = StepsPolicy()
    retries: RetriesPolicy = RetriesPolicy()
    training: TrainingPolicy = TrainingPolicy()
    metric_bounds: MetricBounds = MetricBounds()
    health: HealthPolicy = HealthPolicy()
    tracking: TrackingPolicy = TrackingPolicy()
    skip: SkipPolicy = SkipPolicy()
    publish: PublishPolicy = PublishPolicy()
    approvals: ApprovalsPolicy = ApprovalsPolicy()
    paths: PathsPolicy = PathsPolicy()
    notify: NotifyPolicy = NotifyPolicy()

    def timeout_s(self, step: int, manifest_minutes: float | None = None) -> float:
        """Time limit of a step in seconds: the policy's own for it, the manifest's, the default."""
        minutes = self.steps.timeout_minutes.get(str(step))
        if minutes is None:
            minutes = manifest_minutes or self.steps.default_timeout_minutes
        return minutes * 60


def parse_policy(text: str, source: str) -> Policy:
    """Read a policy from JSON text; raises PolicyError naming `source` and the key at fault."""
    try:
        return Policy.model_validate(parse_object(text, source, PolicyError))
    except ValidationError as error:
        raise PolicyError(f"{source}: {validation_message(error)}") from None


def validation_message(error: ValidationError) -> str:
    """One line for the first few faults that pydantic found: key, what was wanted, what was got."""
    faults = []
    for fault in error.errors(include_url=False)[:3]:
        key = _cut(".".join(str(part) for part in fault["loc"]), 200) or "(the file)"
        got = f", got {_short(fault['input'])}"
        # What is in notify is no reader's business: an address holds a password or a token.
        if fault["type"] in {"missing", "extra_forbidden"} or fault["loc"][:1] == ("notify",):
            got = ""
        message = "unknown key" if fault["type"] == "extra_forbidden" else fault["msg"]
        faults.append(f"{key}: {message}{got}")
    more = error.error_count() - len(faults)
    return "; ".join(faults) + (f"; and {more} more" if more > 0 else "")


def _short(value: object) -> str:
    # Before it is cut short: half a password would not look like one.
    return _cut(_PASSWORD.sub("://***@", repr(value)[:2000]), 60)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 3] + "..."
