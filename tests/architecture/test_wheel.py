"""An installed wheel finds its manifests, policy and schemas as a checkout does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The wheel's content in a folder of its own, as pip would lay it out."""
    place = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(place), "."],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = place.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(place / "site")
    return place / "site"


def watcher(site, cwd, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "agents", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(site), "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_init_lays_out_a_workspace_whose_schemas_resolve(installed, tmp_path):
    done = watcher(installed, tmp_path, "--init", "space")
    assert done.returncode == 0, done.stderr
    for path in (tmp_path / "space").rglob("*.json"):
        schema = json.loads(path.read_text()).get("$schema", "")
        if path.parent.name != "schemas":
            assert (path.parent / schema).is_file(), path


def test_step_5_is_known_without_a_workspace(installed, tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    done = watcher(
        installed, tmp_path, "--run-pipeline", "--start-step", "5", "--end-step", "5",
        "--dry-run", "--json", "--params", '{"survivors": "t.csv", "target": "b"}',
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert str(ROOT) not in done.stdout
    assert "steps.step5_training" in done.stdout


def test_the_typed_marker_and_the_licence_travel(installed):
    assert (installed / "agents" / "py.typed").is_file()
    assert list(installed.glob("*.dist-info/licenses/LICENSE"))
