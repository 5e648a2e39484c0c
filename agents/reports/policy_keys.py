"""Every key of the policy: its default, its effect, when it acts, and the value in force."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from agents.notify.send import masked_address
from agents.secrets import mask
from steps.policies import Policy


@dataclass(frozen=True, slots=True)
class PolicyKey:
    """One key. default, value: as JSON can hold them."""

    key: str
    default: Any
    effect: str
    acts: str
    value: Any

    @property
    def changed(self) -> bool:
        """Whether the value in force is another than the default."""
        return bool(self.value != self.default)


def policy_values(policy: Policy) -> tuple[PolicyKey, ...]:
    """All keys in the order of the models, with the values of `policy`, secrets masked."""
    return tuple(_keys("", policy, Policy()))


def policy_table() -> str:
    """The Markdown table of docs: every key, its default, its effect, and when it acts."""
    lines = ["| key | default | effect | when a change acts |", "|---|---|---|---|"]
    for key in policy_values(Policy()):
        default = json.dumps(key.default)
        if key.key == "retries.remedies":
            default = "the rules below"
        elif key.key == "training.use_persistent_workers":
            default = "shipped true; missing means false"
        cells = (f"`{key.key}`", default, key.effect, key.acts)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _keys(prefix: str, section: BaseModel, default: BaseModel) -> Iterator[PolicyKey]:
    for name, field in type(section).model_fields.items():
        if name in {"schema_", "schema_version"}:
            continue
        value, usual = getattr(section, name), getattr(default, name)
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        if isinstance(value, BaseModel) and not extra:
            yield from _keys(f"{prefix}{name}.", value, usual)
            continue
        plain = section.model_dump(mode="json", include={name}, exclude_defaults=False)[name]
        plain_usual = default.model_dump(mode="json", include={name})[name]
        yield PolicyKey(
            key=f"{prefix}{name}",
            default=plain_usual,
            effect=field.description or "",
            acts=str(extra.get("acts", "")),
            # Of an address the place alone: its token may stand anywhere in it.
            value=[masked_address(a) for a in plain] if prefix == "notify." else mask(plain),
        )
