"""--report: which run, which file, and what is said where there is none."""

from __future__ import annotations

import errno
import json
import webbrowser
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text

from agents.cli import main
from agents.reports.training.lineage import Lineage
from agents.views.report_page import written
from agents.views.report_page.written import gather, write_page
from agents.views.training_text import markdown, show_text
from agents.workspace import Workspace
from steps.contract import ExitCode

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


@pytest.fixture
def page(monkeypatch):
    """Pages of a few words: what is in them is another test's."""
    made = []

    def render(diagnostics, lineage, source):
        made.append((diagnostics, lineage, source))
        return f'<head><meta name="watcher-run" content="{diagnostics.run_id}"></head>'

    monkeypatch.setattr(written, "render_report", render)
    return made


def said(answer):
    return " ".join(answer.err.split())


def test_last_run_has_a_page_of_its_own_name(watcher, folder, kept, made, page):
    kept(made("strong"))
    document = watcher("--report", "--json").document
    outputs = folder.root / "diagnostics_outputs"
    assert document["report"] == str(outputs / "training_diagnostics.html")
    assert document["verdict"] == "strong"
    assert document["winner"] == "catboost"
    assert document["families"]["xgboost"] == "warning"
    assert (outputs / "index.html").is_file()


def test_earlier_run_is_found_by_the_beginning_of_its_id(watcher, folder, kept, made, page):
    kept(made("none", run_id="20261121-000000-aaaa"))
    kept(made("strong", run_id="20261122-000000-bbbb"))
    document = watcher("--report", "20261121", "--json").document
    history = folder.root / "diagnostics_outputs" / "history"
    assert document["report"] == str(history / "20261121-000000-aaaa.html")
    assert document["verdict"] == "none"
    last = watcher("--report", "20261122-000000-bbbb", "--json").document
    assert last["report"].endswith("training_diagnostics.html")


def test_page_is_printed_by_path(watcher, kept, made, page):
    kept(made("leaked"))
    out = watcher("--report").out
    assert out.startswith("Leaked: feature price_in_cents gives price away\n")
    assert "diagnostics_outputs/training_diagnostics.html" in out


def test_workspace_without_diagnostics_says_what_makes_them(watcher):
    answer = watcher("--report")
    assert answer.code == ExitCode.USAGE
    assert "no run here has training diagnostics" in said(answer)
    assert "--start-step 5" in said(answer)


def test_unknown_run_is_refused_with_those_that_are_near(watcher, kept, made, page):
    kept(made("strong", run_id="20261122-000000-bbbb"))
    answer = watcher("--report", "20261122-000000-bbbc")
    assert answer.code == ExitCode.USAGE
    assert "is no run here; near: 20261122-000000-bbbb" in said(answer)


def test_beginning_that_fits_several_runs_is_refused(watcher, kept, made, page):
    for last in ("aaaa", "bbbb"):
        kept(made("strong", run_id=f"20261122-000000-{last}"))
    answer = watcher("--report", "20261122")
    assert answer.code == ExitCode.USAGE
    assert "fits several runs: 20261122-000000-aaaa, 20261122-000000-bbbb" in said(answer)


def test_run_that_never_trained_is_told_from_one_that_there_is_not(act, watcher, kept, made, page):
    run_id = act("complete").document["run_id"]
    kept(made("strong"))
    assert "has no diagnostics" in said(watcher("--report", run_id))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("{", "is damaged: not valid JSON"),
        ("[]", "must be an object"),
        ('{"run_id": "../../x", "schema_version": 2}', "run_id must name a run"),
        ('{"run_id": "r", "schema_version": 2}', "is damaged: created_at"),
        ('{"run_id": "r", "schema_version": 1}', "earlier watcher (schema_version 1)"),
        ('{"run_id": "r", "schema_version": 3}', "newer watcher (schema_version 3"),
        ('{"run_id": "r"}', "schema_version must be 2, got null"),
    ],
)
def test_file_that_cannot_be_told_says_why_and_what_to_do(watcher, folder, text, wanted):
    outputs = folder.root / "diagnostics_outputs"
    outputs.mkdir()
    (outputs / "training_diagnostics.json").write_text(text)
    answer = watcher("--report")
    assert answer.code == ExitCode.STEP_FAILED
    assert wanted in said(answer)
    assert not (outputs / "training_diagnostics.html").exists()


def test_damaged_newest_file_does_not_hide_earlier_runs(watcher, folder, kept, made, page):
    kept(made("strong", run_id="20261122-000000-bbbb"))
    (folder.root / "diagnostics_outputs" / "training_diagnostics.json").write_text("{")
    assert watcher("--report").code == ExitCode.STEP_FAILED
    assert watcher("--report", "20261122").code == ExitCode.DONE


def test_history_alone_is_enough(watcher, folder, kept, made, page):
    kept(made("none", run_id="20261121-000000-aaaa"))
    kept(made("strong", run_id="20261122-000000-bbbb"))
    (folder.root / "diagnostics_outputs" / "training_diagnostics.json").unlink()
    assert watcher("--report", "--json").document["run_id"] == "20261122-000000-bbbb"


def test_origins_of_parameters_come_from_the_ledger(act, watcher, kept, made, page):
    run_id = act("complete", "--params", '{"act": "complete", "rate": 0.25}').document["run_id"]
    kept(made("strong", run_id=run_id))
    watcher("--report")
    lineage = page[-1][1]
    assert lineage.absent == ""
    assert lineage.origins["rate"] == "params"
    assert lineage.origins["trials"] == "manifest"
    assert lineage.given == {"act": "complete", "rate": 0.25}


def test_run_that_the_ledger_does_not_know_has_a_report_all_the_same(watcher, kept, made, page):
    kept(made("strong"))
    assert watcher("--report").code == ExitCode.DONE
    assert "ledger" in page[-1][1].absent


def test_index_names_every_run_and_links_those_with_a_page(watcher, folder, kept, made, page):
    kept(made("none", run_id="20261120-000000-aaaa"))
    watcher("--report")
    kept(made("leaked", run_id="20261121-000000-aaaa"))
    kept(made("strong", run_id="20261122-000000-bbbb"))
    outputs = folder.root / "diagnostics_outputs"
    (outputs / "history" / "20261119-000000-cccc.json").write_text("{")
    watcher("--report", "20261121")
    text = (outputs / "index.html").read_text()
    assert '<a href="history/20261121-000000-aaaa.html">' in text
    # It was the last run once, and keeps its page now that it is not.
    assert '<a href="history/20261120-000000-aaaa.html">20261120-000000-aaaa</a>' in text
    assert "20261122-000000-bbbb</th>" in text
    assert "is damaged" in text
    assert text.index("20261122") < text.index("20261120") < text.index("20261119")
    for verdict in ("strong", "none", "leaked"):
        assert f'<span class="tone {verdict}">' in text


@pytest.mark.parametrize("links", [True, False])
def test_last_run_keeps_its_page_when_another_becomes_the_last(
    watcher, folder, kept, made, page, monkeypatch, links
):
    def refuse(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    if not links:
        monkeypatch.setattr(Path, "hardlink_to", refuse)
    outputs = folder.root / "diagnostics_outputs"
    runs = ("20261120-000000-aaaa", "20261121-000000-bbbb")
    for run_id in runs:
        kept(made("strong", run_id=run_id))
        watcher("--report")
        watcher("--report")
        assert run_id in (outputs / "training_diagnostics.html").read_text()
    for run_id in runs:
        assert run_id in (outputs / "history" / f"{run_id}.html").read_text()
    assert list(outputs.rglob(".*")) == []


def test_earlier_attempt_of_a_run_is_no_run_of_its_own(watcher, folder, kept, made, page):
    copy = kept(made("strong", run_id="20261120-000000-aaaa"))
    copy.with_name(f"{copy.stem}-attempt1.json").write_text(copy.read_text())
    assert watcher("--report", "20261120", "--json").document["run_id"] == copy.stem
    assert "attempt1" not in (folder.root / "diagnostics_outputs" / "index.html").read_text()


def test_index_reads_a_run_once(watcher, folder, kept, made, page, monkeypatch):
    copy = kept(made("strong"))
    watcher("--report")
    from agents.reports.training import runs

    read = []
    monkeypatch.setattr(runs, "read_diagnostics", lambda path, shown: read.append(path))
    written.write_index(Workspace.open(folder.root))
    assert read == []
    copy.write_text(made("strong", headline="changed").model_dump_json())
    monkeypatch.undo()
    written.write_index(Workspace.open(folder.root))
    (folder.root / "diagnostics_outputs" / "index.json").write_text("nonsense")
    text = written.write_index(Workspace.open(folder.root)).read_text()
    assert "catboost" in text


def test_half_written_page_never_takes_the_place_of_a_whole_one(folder, kept, made, monkeypatch):
    kept(made("strong"))
    whole = folder.root / "diagnostics_outputs" / "training_diagnostics.html"
    whole.write_text("the old page")

    def broken(*_):
        raise ValueError("no chart")

    monkeypatch.setattr(written, "render_report", broken)
    workspace = Workspace.open(folder.root)
    with pytest.raises(ValueError, match="no chart"):
        write_page(workspace, gather(workspace, "last", lambda: NOW))
    assert whole.read_text() == "the old page"


@pytest.mark.parametrize("works", [True, False])
def test_open_asks_for_a_browser_and_says_where_there_is_none(
    watcher, kept, made, page, monkeypatch, works
):
    asked = []
    monkeypatch.setattr(webbrowser, "open", lambda url: asked.append(url) or works)
    kept(made("strong"))
    answer = watcher("--report", "--open")
    assert answer.code == ExitCode.DONE
    assert asked[0].startswith("file:///")
    assert asked[0].endswith("/training_diagnostics.html")
    assert ("No browser could be opened" in answer.out) is not works


def test_flags_of_the_report_go_with_it_and_not_with_each_other(watcher):
    for arguments in (("--status", "--open"), ("--status", "--text")):
        assert "goes with --report" in watcher(*arguments).err
    assert "give one of them" in watcher("--report", "--open", "--text").err


def test_text_away_from_a_terminal_is_markdown_and_writes_no_page(watcher, folder, kept, made):
    kept(made("strong"))
    out = watcher("--report", "--text").out
    assert out.startswith("# Strong signal: catboost is ahead, R2 0.84 (0.83 to 0.85)")
    assert "| catboost (winner) | 0.842 (0.834 to 0.850) |" in out
    assert "- **warning**: validation loss is 1.41 times the training loss." in out
    assert not (folder.root / "diagnostics_outputs" / "training_diagnostics.html").exists()


def test_markdown_shows_names_as_they_are(made):
    table = made("strong").table.model_copy(update={"target_name": "a|b*c`<img>_d"})
    text = markdown(made("none", table=table), Lineage("gone"), "x.json")
    assert r"a\|b\*c\`\<img\>\_d" in text
    assert "<img>" not in text


def test_markdown_of_a_leak_holds_the_command_whole(made):
    signal = made("leaked").signal.model_copy(update={"exclude_features": ("```", "b")})
    text = markdown(made("leaked", signal=signal), Lineage("gone"), "x.json")
    block = text.split("````")[1]
    assert json.loads(block[block.index("{") : block.rindex("}") + 1])["exclude_features"] == [
        "```",
        "b",
    ]


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("kind", ["strong", "none", "leaked"])
def test_text_on_a_terminal_keeps_to_its_width_and_crops_no_number(made, kind, width):
    console = Console(
        width=width, force_terminal=True, no_color=True, markup=False, highlight=False
    )
    with console.capture() as capture:
        show_text(console, made(kind), Lineage("gone"), "x.json")
    text = Text.from_ansi(capture.get()).plain
    assert "…" not in text
    found = made(kind).families["catboost"]
    assert f"{found.cv.r2.value:.4f}" in text
    # What is meant to be copied is not broken.
    lines = [line for line in text.splitlines() if "watcher --" not in line]
    assert max(len(line.rstrip()) for line in lines) <= width


def test_text_says_loudly_what_is_not_known(made, capfd, folder, kept):
    kept(made("strong", collected=False))
    assert main(["--report", "--text"]) == ExitCode.DONE
    assert "**Not known:** diagnostics are switched off" in capfd.readouterr().out
