"""--predict scores new rows with the winner, opened through its sidecar only."""

from __future__ import annotations

import csv
import hashlib
import json
import pickle
import shutil

import pytest
from tests_integration import Workspace, make_columns

from steps.contract import StepRequest
from steps.errors import StepRefused
from steps.step5_training.predict import predict


@pytest.fixture
def copy(trained, tmp_path):
    """A copy of the trained workspace, to be tampered with."""
    root = tmp_path / "copy"
    shutil.copytree(trained[0].root, root, symlinks=True)
    return Workspace(root)


def refusal(workspace, table="houses.csv"):
    """The words in which the step refuses; the command prints them, as one test below shows."""
    out_dir = workspace.root / ".watcher" / "runs" / "p" / "predict"
    out_dir.mkdir(parents=True)
    output = workspace.root / "scored.csv"
    request = StepRequest(
        run_id="p",
        step=5,
        attempt=1,
        params={"table": str(workspace.root / table), "output": str(output)},
        inputs={},
        workspace=str(workspace.root),
        policy_path=str(workspace.root / "watcher_policies.json"),
        out_dir=str(out_dir),
    )
    with pytest.raises(StepRefused) as refused:
        predict(request)
    assert refused.value.kind == "bad_input"
    assert not output.exists()
    return refused.value.message


def read(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def scored(trained, tmp_path_factory):
    """What --predict says of 200 rows that are new to the model, its file, and the true prices."""
    workspace = Workspace(tmp_path_factory.mktemp("scored") / "copy")
    shutil.copytree(trained[0].root, workspace.root, symlinks=True)
    columns = make_columns(200, seed=9)
    truth = [float(v) for v in columns.pop("price")]
    columns["town"][4] = "town Z"
    columns["colour"] = ["red"] * 200
    workspace.write_csv("new.csv", columns)
    answer = workspace.watcher("--json", "--predict", "new.csv", "--output", "scored.csv")
    assert answer.code == 0, answer.err
    return answer, workspace.root / "scored.csv", truth


def test_rows_are_scored_in_their_order_and_close_to_the_truth(scored):
    _, file, truth = scored
    rows = read(file)
    assert [int(row["row"]) for row in rows] == list(range(1, 201))
    predicted = [float(row["predicted_price"]) for row in rows]
    mean = sum(truth) / len(truth)
    sse = sum((t - p) ** 2 for t, p in zip(truth, predicted, strict=True))
    assert 1 - sse / sum((t - mean) ** 2 for t in truth) > 0.7


def test_a_missing_feature_column_is_named_and_nothing_is_written(copy):
    columns = make_columns(20, seed=9)
    for name in ("price", "town", "rooms"):
        del columns[name]
    copy.write_csv("new.csv", columns)
    text = refusal(copy, "new.csv")
    assert "new.csv" in text
    assert "town" in text
    assert "rooms" in text


def test_unknown_levels_and_extra_columns_are_said(scored):
    told = json.dumps(scored[0].document)
    assert "town Z" in told
    assert "colour" in told


def test_text_in_a_number_is_refused_by_column_and_row(copy):
    columns = make_columns(20, seed=9)
    columns["size"][6] = "large"
    copy.write_csv("new.csv", columns)
    text = refusal(copy, "new.csv")
    assert "size" in text
    assert "row 7" in text
    assert "large" in text


def test_a_flipped_byte_is_refused_by_its_hash(copy):
    checkpoint = copy.root / copy.sidecar()["checkpoint_path"]
    blob = bytearray(checkpoint.read_bytes())
    blob[len(blob) // 2] ^= 1
    checkpoint.write_bytes(blob)
    answer = copy.watcher("--predict", "houses.csv", "--output", "scored.csv")
    assert answer.code == 1
    assert "SHA-256" in answer.out + answer.err
    assert hashlib.sha256(blob).hexdigest() in "".join((answer.out + answer.err).split())
    assert not (copy.root / "scored.csv").exists()
    # In the words of the step itself.
    words = refusal(copy)
    assert hashlib.sha256(blob).hexdigest() in words
    assert "".join(words.split()) in "".join((answer.out + answer.err).split())


def test_swapped_checkpoints_are_refused(copy):
    models = (copy.root / "models" / "reinforcement").resolve()
    winner = copy.root / copy.sidecar()["checkpoint_path"]
    other = next(p for p in models.glob("*/best_model.*") if p.suffix in {".cbm", ".txt"})
    winner.unlink()
    shutil.copy(other, winner)
    assert "not the one that was trained" in refusal(copy)


def test_a_malicious_checkpoint_is_never_executed(copy):
    """Even with a sidecar that was made to fit it."""

    class Evil:
        def __reduce__(self):
            return (open, (str(copy.root / "owned"), "w"))

    models = copy.root / "models" / "reinforcement"
    path = models / "best_model.meta.json"
    sidecar = json.loads((models / "neural_net" / "best_model.meta.json").read_text())
    evil = pickle.dumps(Evil())
    (models / "best_model.pth").unlink(missing_ok=True)
    (models / "best_model.pth").write_bytes(evil)
    sidecar["checkpoint_path"] = "models/reinforcement/best_model.pth"
    sidecar["checkpoint_sha256"] = hashlib.sha256(evil).hexdigest()
    path.write_text(json.dumps(sidecar))
    answer = copy.watcher("--predict", "houses.csv", "--output", "scored.csv")
    assert answer.code == 1
    assert not (copy.root / "owned").exists()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"checkpoint_path": "../outside.json"}, "leaves the workspace"),
        ({"feature_names": ["rooms", "size", "age", "town", "garden"]}, "feature_schema_hash"),
        ({"surprise": 1}, "not a sidecar"),
    ],
)
def test_a_sidecar_that_was_edited_is_refused(copy, change, told):
    path = copy.root / "models" / "reinforcement" / "best_model.meta.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert told in refusal(copy)


def test_without_a_model_it_says_to_train_one_first(workspace):
    workspace.write_csv("new.csv", make_columns(20))
    answer = workspace.watcher("--predict", "new.csv", "--output", "scored.csv")
    assert answer.code != 0
    assert "train one with" in " ".join((answer.out + answer.err).split())


def test_the_table_itself_is_never_overwritten(copy):
    before = (copy.root / "houses.csv").read_bytes()
    answer = copy.watcher("--predict", "houses.csv", "--output", "houses.csv")
    assert answer.code != 0
    assert (copy.root / "houses.csv").read_bytes() == before
