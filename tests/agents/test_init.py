"""--init lays out a workspace, and never touches what is there."""

import json

from steps.contract import ExitCode


def test_init_lays_out_a_workspace_whose_schemas_resolve(watcher, tmp_path):
    target = tmp_path / "new"
    answer = watcher("--init", str(target))
    assert answer.code == ExitCode.DONE
    for name in ("watcher_policies.json", "agent_manifests/reinforcement.json"):
        path = target / name
        schema = path.parent / json.loads(path.read_text())["$schema"]
        assert schema.is_file(), schema


def test_init_twice_keeps_what_is_there_and_says_so(watcher, tmp_path):
    target = tmp_path / "new"
    watcher("--init", str(target))
    (target / "watcher_policies.json").write_text('{"halt": true}')
    (target / "README.txt").unlink()
    answer = watcher("--init", str(target))
    assert (target / "watcher_policies.json").read_text() == '{"halt": true}'
    assert (target / "README.txt").exists()
    assert "kept  watcher_policies.json" in answer.out
    assert "made  README.txt" in answer.out


def test_init_on_a_file_is_a_usage_error(watcher, tmp_path):
    (tmp_path / "file").write_text("")
    assert watcher("--init", str(tmp_path / "file")).code == ExitCode.USAGE


def test_init_in_json_is_one_document(watcher, tmp_path):
    target = tmp_path / "new"
    document = watcher("--init", str(target), "--json").document
    assert (document["status"], document["exit_code"]) == ("ok", 0)
    assert document["workspace"] == str(target)
    assert "watcher_policies.json" in document["created"]
    again = watcher("--init", str(target), "--json").document
    assert (again["created"], again["kept"]) == ([], document["created"])


def test_init_in_the_home_of_somebody_unknown_is_no_traceback(watcher, folder):
    answer = watcher("--init", "~no-such-user-here/x")
    assert answer.code == ExitCode.DONE
    assert (folder.root / "~no-such-user-here" / "x" / "README.txt").is_file()


def test_laid_out_workspace_passes_its_own_checks(watcher, tmp_path):
    target = tmp_path / "new"
    watcher("--init", str(target))
    document = watcher("--doctor", "--json", "--workspace", str(target)).document
    assert not [line for line in document["reasons"] if not line.startswith("library")]
    assert any("reinforcement" in line for line in document["manifests"])
