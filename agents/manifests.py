"""Read agent_manifests/*.json into Manifest values, or say which file and key is at fault.

A manifest declares one step: the module that runs it, what it reads and leaves, and every
parameter with its type, bounds and default. Everything is checked before anything starts: unknown
keys, paths that leave the workspace, modules outside the packages allowed, defaults out of bounds.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StrictBool,
    StrictInt,
    StrictStr,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from agents.bounds import Bound, check_value
from agents.errors import ManifestError, ParameterError
from steps.policies import Minutes, validation_message
from steps.strict_json import parse_object, read_text

STEP_PACKAGES = ("steps",)

_DOTTED = r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)+$"


def _inside(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not path.strip() or "\0" in path or "\\" in path:
        raise ValueError("must be a path with forward slashes from the workspace")
    if path.startswith(("/", "~")) or ".." in parts:
        raise ValueError("must be a path inside the workspace")
    return path


def _allowed_module(name: str, info: ValidationInfo) -> str:
    packages: Sequence[str] = (info.context or {}).get("packages", STEP_PACKAGES)
    if not re.match(_DOTTED, name) or name.split(".", maxsplit=1)[0] not in packages:
        wanted = " or ".join(f"{package}." for package in packages)
        raise ValueError(f"must be a dotted Python name that begins with {wanted}")
    return name


WorkspacePath = Annotated[StrictStr, Field(max_length=300), AfterValidator(_inside)]
ModuleName = Annotated[
    StrictStr, Field(max_length=200, pattern=_DOTTED), AfterValidator(_allowed_module)
]
Name = Annotated[StrictStr, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=60)]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class InputSpec(_Entry):
    """A file that a step reads: the one its parameter names, else the first candidate there is."""

    name: Name
    param: Name | None = Field(
        default=None, description="The parameter that may name the file; null: only candidates."
    )
    candidates: tuple[WorkspacePath, ...] = Field(
        default=(), description="Paths from the workspace, tried in this order."
    )
    required: StrictBool = True
    description: StrictStr = ""


class SuccessCondition(_Entry):
    """One thing that must hold when a step says it is done, or its result is not taken."""

    file: WorkspacePath = Field(description="A JSON file, as a path from the workspace.")
    key: StrictStr = Field(
        pattern=r"^[^.]+(\.[^.]+)*$", description="A key inside it; dots lead deeper."
    )
    of_this_run: StrictBool = Field(default=False, description="true: it must be this run's id.")
    equals: JsonValue = Field(default=None, description="The value that it must be.")
    min: float | None = Field(default=None, description="The smallest number that it may be.")
    max: float | None = Field(default=None, description="The largest number that it may be.")


class Manifest(_Entry):
    """One numbered step: what runs, what it reads and leaves, and every parameter it takes."""

    schema_: StrictStr | None = Field(default=None, alias="$schema")
    step: Annotated[StrictInt, Field(ge=0, le=99)] = Field(description="Order in the pipeline.")
    agent_name: Name
    title: StrictStr = Field(default="", description="One line for people.")
    module: ModuleName = Field(description="Started as `python -m MODULE --request FILE`.")
    actions: dict[Name, ModuleName] = Field(
        default_factory=dict, description="Further modules of this step, such as predict."
    )
    inputs: tuple[InputSpec, ...] = ()
    outputs: tuple[WorkspacePath, ...] = Field(
        default=(), description="Files that the step leaves, as paths from the workspace."
    )
    success_conditions: tuple[SuccessCondition, ...] = Field(
        default=(), description="What must hold when the step says that it is done."
    )
    timeout_minutes: Minutes | None = Field(
        default=None, description="Time limit, unless the policy names one for this step."
    )
    default_params: dict[str, Any] = Field(
        default_factory=dict, description="Values over the bounds' own defaults."
    )
    parameter_bounds: dict[Name, Bound] = Field(
        default_factory=dict, description="Every parameter: type, bounds, default, meaning."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [spec.name for spec in self.inputs]
        if len(set(names)) < len(names):
            raise ValueError(f"inputs: names must be unique, got {', '.join(names)}")
        for spec in self.inputs:
            bound = self.parameter_bounds.get(spec.param) if spec.param else None
            if spec.param and (bound is None or bound.type != "string"):
                raise ValueError(
                    f"inputs.{spec.name}.param: must name a string parameter of parameter_bounds, "
                    f"got {spec.param!r}"
                )
            if not spec.param and not spec.candidates:
                raise ValueError(
                    f"inputs.{spec.name}: must have a param or candidates, got neither"
                )
        try:
            for name, bound in self.parameter_bounds.items():
                check_value(f"parameter_bounds.{name}.default", bound, bound.default, name)
            for name, value in self.default_params.items():
                if name not in self.parameter_bounds:
                    raise ValueError(f"default_params.{name}: must be declared in parameter_bounds")
                check_value(f"default_params.{name}", self.parameter_bounds[name], value, name)
        except ParameterError as fault:
            raise ValueError(str(fault)) from None
        return self

    @property
    def file_name(self) -> str:
        """What messages call this manifest."""
        return f"{self.agent_name}.json"


def load_manifests(folder: Path, packages: Sequence[str] = STEP_PACKAGES) -> tuple[Manifest, ...]:
    """Read every *.json of a folder, in step order; raises ManifestError.

    packages: top packages that a manifest may name modules of.
    """
    paths = sorted(path for path in folder.glob("*.json") if not path.name.startswith("."))
    if not paths:
        raise ManifestError(f"{folder}: must hold at least one manifest (*.json), got none")
    by_step: dict[int, tuple[Path, Manifest]] = {}
    for path in paths:
        manifest = load_manifest(path, packages)
        if manifest.step in by_step:
            other = by_step[manifest.step][0]
            raise ManifestError(
                f"{path}: step: must be a number of its own, got {manifest.step}, "
                f"which {other.name} has too"
            )
        by_step[manifest.step] = (path, manifest)
    return tuple(manifest for _, (_, manifest) in sorted(by_step.items()))


def load_manifest(path: Path, packages: Sequence[str] = STEP_PACKAGES) -> Manifest:
    """Read one manifest; raises ManifestError naming the path and the key."""
    raw = parse_object(read_text(path, ManifestError), str(path), ManifestError)
    try:
        return Manifest.model_validate(raw, context={"packages": tuple(packages)})
    except ValidationError as fault:
        raise ManifestError(f"{path}: {validation_message(fault)}") from None
