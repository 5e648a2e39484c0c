"""What a step depends on, gathered from a workspace on disk."""

import hashlib
import json
import shutil
import sys

import pytest

from agents.errors import InputMissing, ManifestError
from agents.freshness import SuccessFacts, read_success
from agents.manifests import Manifest
from agents.parameters import Given, merge_params
from agents.recall import step_facts
from agents.recall.fingerprints import Fingerprints, Sizes
from agents.recall.step_facts import (
    NotRecorded,
    ask_freshness,
    code_version,
    facts_after,
    facts_published,
    library_versions,
    manifest_sha256,
)
from agents.secrets import mask
from agents.workspace import IMPORT_ROOT, Workspace
from steps.contract import Output, StepResult

MANIFEST = {
    "step": 5,
    "agent_name": "acting",
    "module": "acts.actor",
    "inputs": [{"name": "token_table", "param": "table", "candidates": ["table.csv"]}],
    "outputs": ["out/token.json", "out/report.json"],
    "parameter_bounds": {
        "table": {"type": "string", "nullable": True, "default": None},
        "trials": {"type": "integer", "default": 10},
        "names": {"type": "string_list", "default": ["a", "b"]},
        "resume": {"type": "boolean", "default": False},
        "api_key": {"type": "string", "default": "open sesame"},
        "remark": {"type": "string", "default": "the password is not hunter22"},
        "storage": {"type": "string", "default": "postgresql://me:hunter22@host/db"},
    },
}


def manifest_of(**changes):
    return Manifest.model_validate({**MANIFEST, **changes}, context={"packages": ("steps", "acts")})


class Place:
    """A workspace in which step 5 may have succeeded, and a person who asks about it."""

    def __init__(self, root):
        self.root = root
        self.workspace = Workspace(root)
        self.given = {}
        self.manifest = manifest_of()
        self.last = None
        self.new_process()

    def new_process(self):
        self.hashes = Fingerprints(
            self.root / ".watcher" / "fingerprints.json",
            lambda _device: 1 << 62,
            note=pytest.fail,
            sizes=Sizes(keep_from=1),
        )

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    def ask(self, **asked):
        table = self.given.get("table", self.root / "table.csv")
        parameters = merge_params(self.manifest, Given(self.given | {"table": str(table)}))
        inputs = {"token_table": str(table)}
        return ask_freshness(
            self.manifest, parameters, inputs, self.last, self.workspace, self.hashes, **asked
        )

    def result(self):
        outputs = tuple(
            Output(
                path=name, sha256=sha256(self.root / name), bytes=(self.root / name).stat().st_size
            )
            for name in ("out/token.json", "out/undeclared.bin")
        )
        return StepResult(
            run_id="r1", step=5, attempt=1, status="complete", headline="", outputs=outputs
        )

    def leave_outputs(self):
        self.write("out/token.json", "{}")
        self.write("out/undeclared.bin", "01")

    def succeed(self, **retried_with):
        before, _ = self.ask()
        self.leave_outputs()
        self.write("out/report.json", "[]")
        for output in self.result().outputs:  # as the check of the result does
            assert self.hashes.sha256(self.root / output.path) == output.sha256
        facts = facts_after(
            before, self.manifest, self.result(), self.workspace, self.hashes, retried_with
        )
        assert isinstance(facts, SuccessFacts)
        secrets = ("hunter22", "open sesame")
        kept = json.dumps(mask(facts.model_dump(mode="json"), "", secrets))  # as the ledger does
        self.last = {"run_id": "r1", "attempt": 1, "recorded_at": "now", "facts": kept}
        return facts.model_dump_json()


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def place(tmp_path, monkeypatch):
    root = tmp_path / "workspace"
    root.mkdir()
    source = tmp_path / "import" / "acts"
    source.mkdir(parents=True)
    (source / "__init__.py").touch()
    (source / "actor.py").write_text("raise RuntimeError('must not be imported')\n")
    monkeypatch.syspath_prepend(str(source.parent))
    made = Place(root)
    made.code = source / "actor.py"
    made.write("table.csv", "x,y\n1,2\n")
    return made


def sentence(place, **asked):
    _, verdict = place.ask(**asked)
    assert verdict.run
    return verdict.sentence


def test_a_step_that_has_succeeded_is_fresh_also_to_another_process(place):
    assert "no recorded success" in sentence(place)
    place.succeed()
    place.new_process()
    _, verdict = place.ask()
    assert not verdict.run
    assert "nothing has changed since run r1" in verdict.sentence
    assert place.hashes.bytes_read == 0


def test_force_runs_it_all_the_same(place):
    place.succeed()
    assert sentence(place, forced="--force") == "asked for with --force"


def test_other_content_of_the_table_runs_it(place):
    place.succeed()
    place.write("table.csv", "x,y\n1,3\n")
    assert "input token_table has other content" in sentence(place)


def test_the_same_table_under_another_name_is_fresh(place):
    place.succeed()
    place.given = {"table": shutil.copy(place.root / "table.csv", place.root / "copy.csv")}
    _, verdict = place.ask()
    assert not verdict.run


def test_resume_changes_no_result(place):
    place.succeed()
    place.given = {"resume": True}
    _, verdict = place.ask()
    assert not verdict.run


def test_a_changed_parameter_runs_it(place):
    place.succeed()
    place.given = {"trials": 11}
    assert "parameter trials changed, 10 -> 11" in sentence(place)


def test_what_a_retry_changed_is_told_and_does_not_count_as_a_change(place):
    place.succeed(trials=5)
    _, verdict = place.ask()
    assert not verdict.run
    assert "after a retry with trials = 5" in verdict.sentence


def test_secrets_are_in_no_record_and_their_change_runs_the_step(place):
    kept = place.succeed(api_key="open sesame")
    assert "sesame" not in kept
    assert "hunter22" not in kept
    remark = "the password is not hunter23"
    place.given = {"storage": "postgresql://me:hunter23@host/db", "remark": remark}
    said = sentence(place)
    assert "a secret changed in api_key, storage" in said
    assert "hunter" not in said
    place.given = {"api_key": "close sesame"}
    assert "sesame" not in sentence(place)
    place.given = {"storage": "postgresql://me:hunter22@elsewhere/db"}
    assert "parameter storage changed, 'postgresql://me:***@host/db' -> " in sentence(place)


def test_a_changed_manifest_runs_it(place):
    place.succeed()
    place.manifest = manifest_of(title="another")
    assert "its manifest changed" in sentence(place)


def test_changed_code_runs_it(place):
    place.succeed()
    place.code.write_text("raise RuntimeError('another')\n")
    assert "its code changed" in sentence(place)


def test_a_changed_library_runs_it(place, monkeypatch):
    place.succeed()
    monkeypatch.setattr(step_facts, "library_versions", lambda: {"numpy": "0.1"})
    assert "-> 0.1" in sentence(place)


@pytest.mark.parametrize("name", ["out/token.json", "out/report.json", "out/undeclared.bin"])
def test_an_output_that_is_gone_or_altered_runs_it(place, name):
    place.succeed()
    place.write(name, "tampered")
    assert f"output {name} is altered" in sentence(place)
    (place.root / name).unlink()
    assert f"output {name} is not there" in sentence(place)


def test_an_output_that_cannot_be_looked_at_runs_it_and_says_why(place):
    place.succeed()
    (place.root / "out/report.json").unlink()
    (place.root / "out/report.json").mkdir()
    assert "out/report.json: must be a file, got a folder" in sentence(place)


def test_a_record_that_is_no_record_runs_it(place):
    place.last = {"run_id": "r0", "attempt": 1, "recorded_at": "then", "facts": "{}"}
    assert "the record of run r0 (then) cannot be used" in sentence(place)


def test_an_input_that_is_gone_is_an_error_that_names_it(place):
    (place.root / "table.csv").unlink()
    with pytest.raises(InputMissing, match=r"input token_table: .*table\.csv"):
        place.ask()


def test_a_large_output_is_hashed_once_for_check_record_and_next_run(place):
    place.leave_outputs()
    for output in place.result().outputs:  # as the check of the result does
        place.hashes.sha256(place.root / output.path)
    read = place.hashes.bytes_read
    before, _ = place.ask()
    read += (place.root / "table.csv").stat().st_size
    facts = facts_after(before, place.manifest, place.result(), place.workspace, place.hashes, {})
    facts_text = json.dumps(mask(facts.model_dump(mode="json")))
    place.last = {"run_id": "r1", "attempt": 1, "recorded_at": "now", "facts": facts_text}
    place.ask()
    assert place.hashes.bytes_read == read


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda place: place.write("table.csv", "x,y\n9,9\n"), "its input token_table changed"),
        (lambda place: (place.root / "table.csv").unlink(), "its input token_table changed"),
        (lambda place: place.code.write_text("pass\n"), "its code changed while it ran"),
        (lambda place: (place.root / "out/report.json").mkdir(), "must be a file, got a folder"),
    ],
)
def test_a_success_that_nobody_may_rely_on_is_not_recorded(place, change, said):
    before, _ = place.ask()
    place.leave_outputs()
    change(place)
    answer = facts_after(before, place.manifest, place.result(), place.workspace, place.hashes, {})
    assert isinstance(answer, NotRecorded)
    assert said in answer.reason


def test_declared_outputs_that_a_success_did_not_leave_are_not_in_its_record(place):
    before, _ = place.ask()
    place.leave_outputs()
    facts = facts_after(before, place.manifest, place.result(), place.workspace, place.hashes, {})
    left = [output.path for output in facts.outputs]
    assert left == ["out/token.json", "out/undeclared.bin"]
    text = facts.model_dump_json()
    place.last = {"run_id": "r", "attempt": 1, "recorded_at": "t", "facts": text}
    assert read_success(place.last).facts == facts
    assert not place.ask()[1].run


def test_models_that_an_approval_put_in_force_are_fresh_and_other_files_are_not(place):
    place.manifest = manifest_of(outputs=["models/acting/best.json", "out/report.json"])
    place.write("models/.keep", "")
    place.write("models/acting/best.json", "the old winner")
    place.succeed()
    place.write("models/acting/best.json", "the new winner")
    place.write("out/report.json", "tampered")
    asked = (place.workspace, place.hashes)
    assert facts_published(None, "r1", "acting", *asked) is None
    assert facts_published(place.last, "r2", "acting", *asked) is None
    assert facts_published(place.last | {"facts": "{}"}, "r1", "acting", *asked) is None
    facts = facts_published(place.last, "r1", "acting", *asked)
    place.last["facts"] = facts.model_dump_json()
    assert sentence(place).startswith("output out/report.json is altered since")


def test_the_order_of_keys_and_the_schema_line_do_not_change_a_manifest():
    other = dict(reversed(MANIFEST.items())) | {"$schema": "../x.json"}
    assert manifest_sha256(manifest_of()) == manifest_sha256(
        Manifest.model_validate(other, context={"packages": ("acts",)})
    )


def test_the_hash_of_a_manifest_is_that_of_what_its_file_says():
    # A key that the product gains later must not change the hash of a file that lacks it.
    text = json.dumps(MANIFEST, sort_keys=True, separators=(",", ":"))
    assert manifest_sha256(manifest_of()) == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    "change", [{"timeout_minutes": 5}, {"outputs": []}, {"default_params": {"trials": 11}}]
)
def test_whatever_a_manifest_says_counts(change):
    assert manifest_sha256(manifest_of(**change)) != manifest_sha256(manifest_of())


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A copy of the product's sources in miniature."""
    for name in (
        "steps/__init__.py",
        "steps/entry.py",
        "steps/tables/read.py",
        "steps/prng/lcg.py",
        "steps/step5_training/__init__.py",
        "steps/step5_training/families/base.py",
        "steps/step6_prediction/__init__.py",
        "gpu/__init__.py",
        "gpu/worker/serve.py",
        "agents/cli.py",
        "other/__init__.py",
        "other/deep/thing.py",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# {name}\n")
    monkeypatch.setattr(step_facts, "IMPORT_ROOT", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("steps/entry.py", True),
        ("steps/tables/read.py", True),
        ("steps/prng/lcg.py", True),
        ("steps/step5_training/families/base.py", True),
        ("gpu/worker/serve.py", True),
        ("steps/step6_prediction/__init__.py", False),
        ("agents/cli.py", False),
        ("other/__init__.py", False),
    ],
)
@pytest.mark.parametrize("module", ["steps.step5_training", "steps.step5_training.predict"])
def test_a_step_runs_on_its_own_folder_the_ground_floor_and_gpu(tree, name, counts, module):
    before = code_version(module)
    (tree / name).write_text("changed = True\n")
    assert (code_version(module) != before) is counts


def test_a_module_of_another_package_runs_on_that_whole_package(tree):
    before = code_version("other.step")
    (tree / "gpu/__init__.py").write_text("changed = True\n")
    assert code_version("other.step") == before
    (tree / "other/deep/thing.py").write_text("changed = True\n")
    assert code_version("other.step") != before


def test_a_source_that_came_went_or_was_renamed_changes_the_code(tree):
    versions = [code_version("steps.step5_training")]
    folder = tree / "steps/step5_training"
    (folder / "new.py").write_text("")
    versions.append(code_version("steps.step5_training"))
    (folder / "new.py").rename(folder / "newer.py")
    versions.append(code_version("steps.step5_training"))
    assert len(set(versions)) == 3
    (folder / "newer.py").unlink()
    (folder / "notes.txt").write_text("no source")
    assert code_version("steps.step5_training") == versions[0]


def test_a_package_that_is_not_installed_is_named(tree):
    with pytest.raises(ManifestError, match="no such_package"):
        code_version("such_package.step")


def test_the_version_of_the_real_step_imports_nothing_heavy():
    before = set(sys.modules)
    assert (IMPORT_ROOT / "steps/step5_training/run.py").is_file()
    assert code_version("steps.step5_training") == code_version("steps.step5_training.predict")
    assert {"numpy", "optuna", "torch"} <= set(library_versions())
    assert not {"torch", "xgboost", "lightgbm", "catboost"} & (set(sys.modules) - before)
