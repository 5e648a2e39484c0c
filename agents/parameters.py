"""Merge parameters, check them against the manifests, remember where each value came from.

Precedence: --params over --params-file over the manifest's default_params over the `default` of
its parameter_bounds entry. An unknown name is an error that offers the nearest one.
"""

from __future__ import annotations

import difflib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import yaml

from agents.bounds import check_value
from agents.errors import ParameterError
from agents.manifests import Manifest
from agents.secrets import mask, secrets_in
from steps.strict_json import parse_object, read_text, require_object

Origin = Literal["params", "params-file", "manifest", "default", "retry"]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One value that a step gets.

    origin: params or params-file (a person's), manifest, default, or retry (a rule of the policy
    has changed it).
    """

    name: str
    value: Any
    origin: Origin


@dataclass(frozen=True, slots=True)
class Given:
    """What a person asked for, by name. from_file: the names whose value --params-file gave."""

    values: dict[str, Any]
    from_file: frozenset[str] = frozenset()

    def origin(self, name: str) -> Origin:
        """Where a value that a person gave comes from."""
        return "params-file" if name in self.from_file else "params"


def given_params(params: str | None, params_file: Path | None) -> Given:
    """What a person asked for: the file's values, overlaid by those of --params.

    Raises ParameterError: not JSON/YAML, a key twice, not an object, NaN or Infinity.
    """
    in_file = read_params_file(params_file) if params_file else {}
    typed = parse_object(params, "--params", ParameterError) if params is not None else {}
    return Given(in_file | typed, frozenset(in_file) - frozenset(typed))


def read_params_file(path: Path) -> dict[str, Any]:
    """Read a .json, .yaml or .yml file of parameters; raises ParameterError naming the place."""
    match path.suffix.lower():
        case ".json":
            return parse_object(read_text(path, ParameterError), str(path), ParameterError)
        case ".yaml" | ".yml":
            return _parse_yaml(read_text(path, ParameterError), str(path))
        case other:
            raise ParameterError(
                f"--params-file: must end in .json, .yaml or .yml, got {other or 'no ending'!r} "
                f"({path})"
            )


def refuse_unknown(given: dict[str, Any], manifests: Sequence[Manifest]) -> None:
    """Raise ParameterError for a name that none of the manifests declares."""
    declared = {name for manifest in manifests for name in manifest.parameter_bounds}
    for name in given:
        if name in declared:
            continue
        files = ", ".join(manifest.file_name for manifest in manifests)
        nearest = difflib.get_close_matches(name, sorted(declared), n=1, cutoff=0.5)
        hint = f"did you mean {nearest[0]!r}?" if nearest else f"known: {_names(declared)}"
        raise ParameterError(f"{files}: no parameter {name!r}; {hint}")


def merge_params(manifest: Manifest, given: Given) -> tuple[Parameter, ...]:
    """Every parameter of one step, in the manifest's order; raises ParameterError on a bound.

    Names that the manifest does not declare are another step's; refuse_unknown checks these.
    """
    merged = []
    for name, bound in manifest.parameter_bounds.items():
        value: Any = bound.default
        origin: Origin = "default"
        if name in manifest.default_params:
            value, origin = manifest.default_params[name], "manifest"
        if name in given.values:
            value, origin = given.values[name], given.origin(name)
        checked = check_value(f"{manifest.file_name}: {name}", bound, value, name)
        merged.append(Parameter(name, checked, origin))
    return tuple(merged)


def changed(parameters: Sequence[Parameter], changes: Mapping[str, Any]) -> tuple[Parameter, ...]:
    """The parameters as a retry gets them: the changed values over the others."""
    return tuple(
        Parameter(p.name, changes[p.name], "retry") if p.name in changes else p for p in parameters
    )


def masked_parameters(parameters: Sequence[Parameter]) -> tuple[Parameter, ...]:
    """The same parameters, fit to be kept and shown."""
    secrets = secrets_in({p.name: p.value for p in parameters})
    return tuple(replace(p, value=mask(p.value, p.name, secrets)) for p in parameters)


def _names(declared: set[str]) -> str:
    return ", ".join(sorted(declared)) or "none, the step takes no parameters"


class _PlainLoader(yaml.SafeLoader):
    """YAML as JSON would have it: no key twice, no aliases (a few lines could mean gigabytes)."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.events.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(
                problem="aliases (*name) are not taken here", problem_mark=event.start_mark
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                problem = f"a key must be a text, got {key!r}"
            elif key in seen:
                problem = f"key {key!r} is given twice"
            else:
                seen.add(key)
                continue
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=key_node.start_mark)
        return super().construct_mapping(node, deep)


def _parse_yaml(text: str, source: str) -> dict[str, Any]:
    try:
        value = yaml.load(text, Loader=_PlainLoader)  # noqa: S506 - a SafeLoader, made stricter
    except yaml.MarkedYAMLError as fault:
        mark = fault.problem_mark
        place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ParameterError(f"{source}: not valid YAML{place}: {fault.problem}") from None
    except (yaml.YAMLError, ValueError) as fault:
        raise ParameterError(f"{source}: not valid YAML: {fault}") from None
    except RecursionError:
        raise ParameterError(f"{source}: nested too deeply") from None
    return require_object({} if value is None else value, source, ParameterError)
