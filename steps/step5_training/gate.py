"""Ask a person before a model in force is replaced by one that is worse on its holdout."""

from __future__ import annotations

from pathlib import Path

from steps.artifacts import SIDECAR, ArtifactError, Sidecar, let_wait, read_sidecar
from steps.contract import Awaiting
from steps.policies import Policy


def asks_first(workspace: Path, agent_name: str, version: Path, policy: Policy) -> Awaiting | None:
    """What waits for a person, by approvals.before_replacing_better; None: it may be published.

    version: the folder with the new models, kept while they wait. Compared are the winners' R2 on
    their holdouts, as point estimates; between two targets there is no better, so that is asked
    about, too.
    """
    in_force = workspace / "models" / agent_name / SIDECAR
    if not policy.approvals.before_replacing_better or not in_force.is_file():
        return None
    new = read_sidecar(version / SIDECAR)
    try:
        old = read_sidecar(in_force)
    except ArtifactError as error:
        reason = f"the model in force cannot be compared: {error}"
    else:
        better = _holdout_r2(old) > _holdout_r2(new)
        if not better and old.target == new.target:
            return None
        reason = _reason(old, new)
    return Awaiting(
        what="publish",
        agent=agent_name,
        version=str(version.relative_to(workspace)),
        in_force=let_wait(workspace, agent_name, version),
        reason=reason,
    )


def _reason(old: Sidecar, new: Sidecar) -> str:
    scores = (
        f"the model in force ({old.model_type} of run {old.run_id}) has R2 {_holdout_r2(old):.3f} "
        f"on its holdout, the new one ({new.model_type}) {_holdout_r2(new):.3f}"
    )
    if old.target == new.target:
        return scores
    return f"{scores}; the targets differ: {old.target} in force, {new.target} in the new one"


def _holdout_r2(sidecar: Sidecar) -> float:
    return sidecar.metrics["holdout"].r2.value
