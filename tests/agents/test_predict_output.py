"""--output replaces predictions, and nothing else."""

import os

import pytest

from steps.contract import ExitCode


@pytest.fixture
def predict(watcher, folder):
    sidecar = folder.root / "models" / "reinforcement" / "best_model.meta.json"
    sidecar.parent.mkdir(parents=True)
    sidecar.write_text("{}")
    (folder.root / "new.csv").write_text("a\n1\n")
    return lambda output: watcher("--predict", "new.csv", "--output", str(output))


@pytest.mark.parametrize(
    "output",
    [
        ".watcher/ledger.sqlite",
        "models/p.csv",
        "optuna_studies/p.csv",
        "diagnostics_outputs/p.csv",
        "agent_manifests/p.csv",
        "schemas/p.csv",
        "watcher_policies.json",
        "watcher_halt.flag",
        "new.csv",
        "p.txt",
        "p",
    ],
)
def test_output_among_what_the_workspace_keeps_is_refused(predict, folder, output):
    before = sorted(folder.root.rglob("*"))
    answer = predict(output)
    assert answer.code == ExitCode.USAGE
    assert str(folder.root / output) in answer.err
    assert sorted(folder.root.rglob("*")) == before


def test_output_through_a_symlink_is_judged_by_where_it_leads(predict, folder, tmp_path):
    (folder.root / "p.csv").symlink_to(folder.root / "models" / "m.csv")
    (folder.root / "models" / "out.csv").symlink_to(tmp_path / "free.csv")
    for output in ("p.csv", "models/out.csv"):
        answer = predict(output)
        assert answer.code == ExitCode.USAGE
        assert "keeps for itself" in answer.err


def test_models_folder_elsewhere_is_protected_too(predict, folder, tmp_path):
    (folder.root / "models").rename(tmp_path / "disk")
    (folder.root / "models").symlink_to(tmp_path / "disk")
    assert predict(tmp_path / "disk" / "p.csv").code == ExitCode.USAGE


def test_output_that_is_no_regular_file_is_refused(predict, folder):
    os.mkfifo(folder.root / "pipe.csv")
    answer = predict("pipe.csv")
    assert answer.code == ExitCode.USAGE
    assert "must be a regular file" in answer.err


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "predicted_y,a\n1,2\n", "\x00\xff"])
def test_file_of_anything_else_is_kept(predict, folder, text):
    path = folder.root / "mine.csv"
    path.write_text(text)
    answer = predict(path)
    assert answer.code == ExitCode.USAGE
    assert f"{path} exists and is not a predictions file; choose another name" in answer.err
    assert path.read_text() == text


@pytest.mark.parametrize(
    "header", ["row,predicted_y", '"row","predicted_y"', '"a","predicted_x, y"']
)
def test_earlier_predictions_are_replaced(predict, folder, header):
    path = folder.root / "mine.csv"
    path.write_text(f"{header}\n1,2\n")
    assert predict(path).code == ExitCode.DONE
    assert path.read_text().startswith("row,prediction")
