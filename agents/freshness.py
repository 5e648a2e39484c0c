"""Say whether a step must run, and why. Pure: what is now and what was recorded in, a verdict out.

A step is fresh as long as nothing that its results depend on has changed in content since its last
recorded success, and the files that it left are as it left them. Anything that cannot be known for
sure (no record, an unreadable one, one of another version) means that the step runs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue, ValidationError

from steps.contract import Frozen
from steps.policies import validation_message

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class InputFact(Frozen):
    """A file that a step reads. path: absolute, where it lay; only the content counts."""

    name: str
    path: str
    sha256: Sha256


class OutputFact(Frozen):
    """A file that a step left. path: from the workspace."""

    path: str
    sha256: Sha256


class HiddenFact(Frozen):
    """What was masked in parameters of these names, as one slow hash of it all."""

    names: tuple[str, ...]
    slow_hash: Sha256


class CodeFact(Frozen):
    """What a step runs on: its sources as one hash, and the libraries' versions by name."""

    sources: Sha256
    libraries: dict[str, str]


class StepFacts(Frozen):
    """All that a step's results depend on, as it is before the step starts.

    parameters: the values asked for, secrets masked. hidden: None if nothing was masked. manifest:
    hash of the manifest's content.
    """

    # Tuples, not objects by name: the ledger masks whatever has the name of a secret.
    inputs: tuple[InputFact, ...]
    parameters: dict[str, JsonValue]
    hidden: HiddenFact | None
    manifest: Sha256
    code: CodeFact


class SuccessFacts(StepFacts):
    """What a step that has succeeded depended on, and the files that it left.

    retried_with: parameters as its retries had changed them.
    """

    schema_version: Literal[1] = 1
    outputs: tuple[OutputFact, ...]
    retried_with: dict[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Success:
    """A recorded success. facts: None where the record cannot be used; problem: why not."""

    run_id: str
    attempt: int
    recorded_at: str
    facts: SuccessFacts | None
    problem: str = ""

    def __str__(self) -> str:
        when = self.recorded_at[:16].replace("T", " ")
        return f"run {self.run_id} ({when})"


@dataclass(frozen=True, slots=True)
class Freshness:
    """Whether the step must run. reasons: sentences without a full stop, at least one."""

    run: bool
    reasons: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """All the reasons in one line."""
        return "; ".join(self.reasons)


def read_success(row: Mapping[str, Any]) -> Success:
    """A success from its row of the ledger: run_id, attempt, recorded_at, facts (JSON text)."""
    run_id, attempt, at = str(row["run_id"]), int(row["attempt"]), str(row["recorded_at"])
    try:
        facts = SuccessFacts.model_validate_json(row["facts"])
    except ValidationError as error:
        return Success(run_id, attempt, at, None, validation_message(error))
    return Success(run_id, attempt, at, facts)


def quoted(_name: str, value: JsonValue) -> str:
    """A parameter's value for a sentence, cut to 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def nobody_known(_path: str, _sha256: str) -> str | None:
    """Which run wrote a file: it is not known."""
    return None


def judge_freshness(
    now: StepFacts,
    recorded: Success | None,
    outputs_now: Mapping[str, str | None],
    forced: str | None = None,
    *,
    ignored: Collection[str] = (),
    shown: Callable[[str, JsonValue], str] = quoted,
    wrote: Callable[[str, str], str | None] = nobody_known,
) -> Freshness:
    """Compare what is now with the last recorded success of the same step.

    outputs_now: for each output, those of the record and those that the manifest declares, its
    SHA-256 now, None if the file is not there. forced: the flag by which a person wants the step to
    run in any case. ignored: parameters that change no result, or name an input, whose content is
    compared. shown: name and value of a parameter to the text that people may read. wrote: path and
    SHA-256 of a file to the id of the run that left it, None if that is not known.
    """
    if forced is not None:
        return Freshness(True, (f"asked for with {forced}",))
    if recorded is None:
        return Freshness(True, ("it has no recorded success yet",))
    facts = recorded.facts
    if facts is None:
        why = f"the record of {recorded} cannot be used ({recorded.problem})"
        return Freshness(True, (why,))
    changes = (
        *_inputs({i.name: i for i in now.inputs}, {i.name: i for i in facts.inputs}),
        *_parameters(now, facts, ignored, shown),
        *_manifest_and_code(now, facts),
        *_outputs(outputs_now, {o.path: o.sha256 for o in facts.outputs}, wrote),
    )
    if changes:
        return Freshness(True, (*changes[:-1], f"{changes[-1]} since {recorded}"))
    fresh = f"nothing has changed since {recorded}"
    if facts.retried_with:
        changed = ", ".join(f"{n} = {shown(n, v)}" for n, v in facts.retried_with.items())
        fresh += f", which succeeded after a retry with {changed}"
    return Freshness(False, (fresh,))


def _inputs(now: Mapping[str, InputFact], then: Mapping[str, InputFact]) -> list[str]:
    reasons = []
    for name, fact in now.items():
        before = then.get(name)
        if before is None:
            reasons.append(f"input {name} is new ({fact.path})")
        elif fact.sha256 != before.sha256:
            moved = f", before it was {before.path}" if fact.path != before.path else ""
            reasons.append(f"input {name} has other content ({fact.path}{moved})")
        elif _ending(fact.path) != _ending(before.path):
            # The ending says how a file is read.
            reasons.append(f"input {name} has another name ({fact.path}, before {before.path})")
    gone = [name for name in then if name not in now]
    return reasons + [f"input {name} is gone ({then[name].path})" for name in gone]


def _parameters(
    now: StepFacts,
    then: StepFacts,
    ignored: Collection[str],
    shown: Callable[[str, JsonValue], str],
) -> list[str]:
    reasons = []
    for name, value in now.parameters.items():
        if name in ignored:
            continue
        if name not in then.parameters:
            reasons.append(f"parameter {name} is new ({shown(name, value)})")
        elif not _same(value, then.parameters[name]):
            before = shown(name, then.parameters[name])
            reasons.append(f"parameter {name} changed, {before} -> {shown(name, value)}")
    gone = [name for name in then.parameters if name not in now.parameters and name not in ignored]
    reasons += [f"parameter {name} is gone" for name in gone]
    # With other names the parameters differ too, and have been named.
    if now.hidden and then.hidden and now.hidden != then.hidden:
        reasons.append(f"a secret changed in {', '.join(now.hidden.names)}")
    return reasons


def _manifest_and_code(now: StepFacts, then: StepFacts) -> list[str]:
    reasons = []
    if now.manifest != then.manifest:
        reasons.append("its manifest changed")
    if now.code.sources != then.code.sources:
        reasons.append("its code changed")
    for name in sorted(now.code.libraries.keys() | then.code.libraries.keys()):
        version, before = now.code.libraries.get(name), then.code.libraries.get(name)
        if version != before:
            changed = f"{before or 'not installed'} -> {version or 'not installed'}"
            reasons.append(f"library {name} changed, {changed}")
    return reasons


def _outputs(
    now: Mapping[str, str | None],
    then: Mapping[str, str],
    wrote: Callable[[str, str], str | None],
) -> list[str]:
    reasons = []
    for path in dict.fromkeys((*then, *now)):
        sha256 = now.get(path)
        if sha256 is None and path not in then:
            continue  # declared, but the success did not leave it either: a model withheld
        if sha256 is None:
            reasons.append(f"output {path} is not there")
        elif path not in then:
            reasons.append(f"output {path} is not one that it left")
        elif sha256 != then[path]:
            writer = wrote(path, sha256)
            by = f": it is as run {writer} left it" if writer else ""
            reasons.append(f"output {path} is altered{by}")
    return reasons


def _same(one: JsonValue, other: JsonValue) -> bool:
    # To Python, True == 1; to a step it is not. 1 and 1.0 are the same number.
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def _ending(path: str) -> str:
    """table.v2.csv -> .csv; table.csv.gz -> .csv.gz."""
    name = path.rpartition("/")[2].lower()
    zipped = ".gz" if name.endswith(".gz") else ""
    _, dot, ending = name.removesuffix(zipped).rpartition(".")
    return f"{dot}{ending}{zipped}" if dot else zipped
