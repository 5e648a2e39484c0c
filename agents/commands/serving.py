"""--serve."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from rich.text import Text

from agents.answer import Answer
from agents.commands.surroundings import local_now, manifest_reader, policy_reader
from agents.errors import WatcherError
from agents.views.screen import message_console
from agents.workspace import Workspace


def serve(flags: argparse.Namespace, packages: Sequence[str]) -> Answer:
    """Show the workspace in the browser until people ask to stop."""
    try:
        from agents.serve.application import make_application
        from agents.serve.server import PageServer
    except ImportError as fault:
        raise WatcherError(
            f"--serve needs starlette, uvicorn and jinja2, and {fault.name} is not installed: "
            "pip install starlette uvicorn jinja2"
        ) from None
    from agents.serve.place import DEFAULT_HOST, DEFAULT_PORT, take_place
    from agents.serve.run_reports import RunReports, report_makers
    from agents.serve.sight import Sight
    from agents.serve.studies import StudyFiles

    workspace = Workspace.open(flags.workspace)
    sight = Sight(
        workspace, policy_reader(workspace), manifest_reader(workspace, packages), local_now
    )
    host = DEFAULT_HOST if flags.host is None else flags.host
    port = DEFAULT_PORT if flags.port is None else flags.port
    with take_place(host, port, os.environ) as place:
        reports = RunReports(workspace, report_makers(workspace, local_now))
        server = PageServer(make_application(sight, reports, StudyFiles(workspace)), place)
        console = message_console()
        console.print(Text(f"{workspace.root}: {place.address_with_token}"), soft_wrap=True)
        if not place.is_loopback:
            console.print(
                Text(
                    "Others can reach it, and it is not encrypted: whoever reads along on the "
                    "network sees the token too.",
                    style="yellow",
                ),
                soft_wrap=True,
            )
        console.print(Text("Ctrl-C ends it; runs go on.", style="dim"))
        code = server.serve_until_asked()
    document = {"status": "ended", "exit_code": int(code), "address": place.address}
    return Answer(code, document, lambda console: console.print("The pages are closed."))
