"""Commands that only look and change nothing: --status, --history, --explain and the like."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import asdict

from agents.answer import Answer
from agents.commands.surroundings import local_now, manifest_reader, policy_reader
from agents.errors import UsageError
from agents.workspace import Workspace
from steps.contract import ExitCode


def status(flags: argparse.Namespace, packages: Sequence[str]) -> Answer:
    """What runs, or what ran last, and what to do next."""
    from agents.reports.documents import status_document
    from agents.reports.status import gather_status
    from agents.views.status_view import show_status

    workspace = Workspace.open(flags.workspace)
    found = gather_status(
        workspace, policy_reader(workspace), manifest_reader(workspace, packages), local_now
    )
    return Answer(
        ExitCode.DONE, status_document(found), lambda console: show_status(console, found)
    )


def history(flags: argparse.Namespace, _packages: Sequence[str]) -> Answer:
    """The runs there were."""
    from agents.reports.history import gather_history, history_document
    from agents.views.history_view import show_history

    workspace = Workspace.open(flags.workspace)
    found = gather_history(workspace.ledger_file, local_now, flags.limit)
    return Answer(
        ExitCode.DONE, history_document(found), lambda console: show_history(console, found)
    )


def explain(flags: argparse.Namespace, _packages: Sequence[str]) -> Answer:
    """Why a run went as it did."""
    from agents.ledger import Ledger
    from agents.reports.explain import explain as explain_run
    from agents.views.explain_view import explanation_document, show_explanation

    workspace = Workspace.open(flags.workspace)
    if not workspace.ledger_file.exists():
        raise UsageError(f"--explain: nothing has run in {workspace.root}")
    with Ledger.read(workspace.ledger_file, local_now) as ledger:
        found = explain_run(ledger, flags.explain)
    return Answer(
        ExitCode.DONE,
        explanation_document(found),
        lambda console: show_explanation(console, found),
    )


def evaluate(flags: argparse.Namespace, packages: Sequence[str]) -> Answer:
    """Judge a file; the exit code is that of the decision which would follow."""
    from agents.reports.evaluate import evaluate as evaluate_file
    from agents.views.evaluate_view import evaluation_document, show_evaluation

    workspace = Workspace.open(flags.workspace)
    found = evaluate_file(
        flags.evaluate, policy_reader(workspace)(), manifest_reader(workspace, packages)()
    )
    return Answer(
        found.exit_code,
        evaluation_document(found),
        lambda console: show_evaluation(console, found),
    )


def doctor(flags: argparse.Namespace, packages: Sequence[str]) -> Answer:
    """Could a run start here; what will run where."""
    from agents.reports.doctor import examine
    from agents.views.doctor_view import show_examination

    workspace = Workspace.open(flags.workspace)
    found = examine(
        workspace, policy_reader(workspace), manifest_reader(workspace, packages), os.environ
    )
    code = ExitCode.STEP_FAILED if found.reasons else ExitCode.DONE
    document = {"status": "cannot_start" if found.reasons else "ok", "exit_code": int(code)}
    document |= asdict(found) | {
        "holder": found.holder.model_dump(mode="json") if found.holder else None
    }
    return Answer(code, document, lambda console: show_examination(console, found))


def policies_check(flags: argparse.Namespace, _packages: Sequence[str]) -> Answer:
    """Check the policy file, and show what is in force; raises PolicyError."""
    from agents.reports.policy_keys import policy_values
    from agents.views.policy_view import show_policy

    workspace = Workspace.open(flags.workspace)
    found = policy_values(policy_reader(workspace)())
    document = {
        "status": "ok",
        "exit_code": int(ExitCode.DONE),
        "policy": str(workspace.policy_file),
        "values": {value.key: value.value for value in found},
        "changed": [value.key for value in found if value.changed],
    }
    return Answer(
        ExitCode.DONE,
        document,
        lambda console: show_policy(console, workspace.policy_file, found),
    )


def skip_status(flags: argparse.Namespace, _packages: Sequence[str]) -> Answer:
    """Which families are left out for critical results, and how the others stand."""
    from agents.reports.skips import gather_skips, skips_document
    from agents.views.skips_view import show_skips

    workspace = Workspace.open(flags.workspace)
    found = gather_skips(workspace, policy_reader(workspace)().skip, local_now())
    return Answer(ExitCode.DONE, skips_document(found), lambda console: show_skips(console, found))
