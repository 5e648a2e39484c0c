"""watcher_policies.json: what people allow, edited while runs are on."""

from steps.policies.live import LivePolicy, PolicyChange, load_policy
from steps.policies.model import (
    HALT_FILE,
    POLICY_FILE,
    ApprovalsPolicy,
    Minutes,
    PathsPolicy,
    Policy,
    PolicyError,
    SkipPolicy,
    TrainingPolicy,
    parse_policy,
    validation_message,
)
from steps.policies.retries import Remedy, RetriesPolicy

__all__ = [
    "HALT_FILE",
    "POLICY_FILE",
    "ApprovalsPolicy",
    "LivePolicy",
    "Minutes",
    "PathsPolicy",
    "Policy",
    "PolicyChange",
    "PolicyError",
    "Remedy",
    "RetriesPolicy",
    "SkipPolicy",
    "TrainingPolicy",
    "load_policy",
    "parse_policy",
    "validation_message",
]
