"""Make one attempt at a step or an action: request out, process, result in, verdict, records."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from pydantic import ValidationError

from agents.conditions import broken_conditions
from agents.errors import WorkspaceError
from agents.health import Ending, Verdict, judge
from agents.ledger import Ledger
from agents.manifests import SuccessCondition
from agents.parameters import Parameter
from agents.secrets import secrets_in
from agents.step_process import StepCommand, run_step_process
from agents.watch import Watch
from agents.workspace import Workspace
from steps.contract import LOG_FILE, REQUEST_FILE, StepRequest, StepResult
from steps.files import write_text_atomic
from steps.policies import validation_message


@dataclass(frozen=True, slots=True)
class AttemptSpec:
    """What to attempt. folder_name: "step5" or "predict"; limit_s, grace_s: seconds.

    may_write: files outside the workspace that a person named as output. conditions: what must hold
    for a result that says it is done.
    """

    run_id: str
    step: int
    attempt: int
    agent_name: str
    title: str
    module: str
    folder_name: str
    parameters: tuple[Parameter, ...]
    inputs: dict[str, str]
    limit_s: float
    grace_s: float
    may_write: tuple[Path, ...] = ()
    conditions: tuple[SuccessCondition, ...] = ()


@dataclass(frozen=True, slots=True)
class Attempted:
    """What came of it. id: in the ledger. result: None where the step wrote none to be taken."""

    id: int
    spec: AttemptSpec
    folder: Path
    ending: Ending
    result: StepResult | None
    verdict: Verdict

    @property
    def log_path(self) -> Path:
        """What the step printed."""
        return self.folder / LOG_FILE

    def evidence(self) -> dict[str, Any]:
        """The facts a decision rests on, for the ledger."""
        return {
            "outcome": self.verdict.outcome,
            "severity": self.verdict.severity,
            "message": self.verdict.message,
            "findings": list(self.verdict.findings),
            "issues": [{"code": i.code, "message": i.message} for i in self.verdict.issues],
            "exit_code": self.ending.exit_code,
            "signal": self.ending.signal,
            "timed_out": self.ending.timed_out,
            "asked_to": self.ending.asked_to,
            "duration_s": round(self.ending.duration_s, 3),
            "limit_s": self.ending.limit_s,
        }


def make_attempt(
    spec: AttemptSpec,
    workspace: Workspace,
    ledger: Ledger,
    watch: Watch,
    *,
    limit_s: Callable[[], float],
    lineage: Mapping[str, Mapping[str, str]],
    sha256: Callable[[Path], str | None],
    policy_path: Path,
    environ: Mapping[str, str],
    echo: IO[bytes] | None = None,
) -> Attempted:
    """Run the attempt to its end and judge it; the ledger hears of the end from whoever decides.

    limit_s: the time limit in force at any moment. lineage: path and SHA-256 of each input, for the
    ledger. sha256: hashes its outputs. echo: gets the step's output too.
    """
    folder = workspace.attempt_folder(spec.run_id, spec.folder_name, spec.attempt)
    request = StepRequest(
        run_id=spec.run_id,
        step=spec.step,
        attempt=spec.attempt,
        params={parameter.name: parameter.value for parameter in spec.parameters},
        given=tuple(p.name for p in spec.parameters if p.origin not in {"manifest", "default"}),
        inputs=spec.inputs,
        workspace=str(workspace.root),
        policy_path=str(policy_path),
        policy=watch.policy.model_dump(mode="json", by_alias=True),
        out_dir=str(folder),
    )
    command = StepCommand(
        module=spec.module,
        request_path=folder / REQUEST_FILE,
        log_path=folder / LOG_FILE,
        cwd=workspace.root,
        grace_s=spec.grace_s,
        secrets=secrets_in(request.params),
    )
    attempt_id = ledger.attempt_started(
        spec.run_id,
        spec.step,
        spec.attempt,
        agent_name=spec.agent_name,
        title=spec.title,
        module=spec.module,
        out_dir=str(folder),
        limit_s=spec.limit_s,
        parameters=spec.parameters,
        inputs=lineage,
    )
    watch.follow(request)
    try:
        workspace.make_private(folder)
        # Parameters may hold a password.
        write_text_atomic(command.request_path, request.model_dump_json(indent=1), private=True)
        ending = run_step_process(command, environ, watch.tick, limit_s, echo)
    except OSError as error:
        raise WorkspaceError(f"step {spec.step} cannot be started: {error}") from None
    finally:
        watch.follow(None)
    result, problem = read_result(request)
    output_problems: tuple[str, ...] = ()
    if result is not None and result.status in {"complete", "no_signal"}:
        output_problems = (
            *check_result_outputs(result, workspace, sha256, spec.may_write),
            *broken_conditions(spec.conditions, workspace, spec.run_id),
        )
    verdict = judge(spec.step, ending, result, problem, output_problems)
    return Attempted(attempt_id, spec, folder, ending, result, verdict)


def read_result(request: StepRequest) -> tuple[StepResult | None, str | None]:
    """The result of exactly this attempt, or None and why the file that is there is not taken."""
    path = request.result_path
    try:
        result = StepResult.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None, None
    except ValidationError as error:
        return None, f"{path.name}: {validation_message(error)}"
    except (OSError, UnicodeDecodeError) as error:
        return None, f"{path.name}: {error}"
    wanted = (request.run_id, request.step, request.attempt)
    got = (result.run_id, result.step, result.attempt)
    if got != wanted:
        return None, (
            f"{path.name}: must be of run {wanted[0]}, step {wanted[1]}, attempt {wanted[2]}, "
            f"got run {got[0]}, step {got[1]}, attempt {got[2]}"
        )
    return result, None


def check_result_outputs(
    result: StepResult,
    workspace: Workspace,
    sha256: Callable[[Path], str | None],
    may_write: Sequence[Path] = (),
) -> tuple[str, ...]:
    """A sentence for each output that is missing, changed, or outside the workspace.

    may_write: files outside the workspace that are allowed all the same.
    """
    problems = []
    for output in result.outputs:
        named = workspace.root / output.path
        path = named if named in may_write else workspace.inside(output.path)
        if path is None:
            problems.append(f"{output.path} lies outside the workspace")
        elif not path.is_file():
            problems.append(f"{output.path} is not there")
        elif path.stat().st_size != output.bytes or sha256(path) != output.sha256:
            problems.append(f"{output.path} is not as its result says (size or SHA-256)")
    return tuple(problems)
