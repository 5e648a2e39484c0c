"""Versions are published whole or not at all, and only if they are what was trained."""

from __future__ import annotations

import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from steps.artifacts import (
    SIDECAR,
    VERSIONS_KEPT,
    WAITS_FILE,
    ArtifactError,
    Sidecar,
    feature_schema_hash,
    keep_last_versions,
    let_wait,
    open_artifact,
    publish,
    publish_version,
    replaced_by,
    turn_back,
    version_folder,
    version_in_force,
    versions_in_force,
    wait_no_more,
    write_sidecar,
)
from steps.contract import Estimate, Scores, Signal

AGENT = "reinforcement"


def scores(r2):
    return Scores(r2=Estimate(value=r2), rmse=Estimate(value=1.0), mae=Estimate(value=1.0))


def lay_out(workspace: Path, run_id: str, text: str = "model", r2: float = 0.5) -> Path:
    """A version with one family, and its two files at the top."""
    folder = version_folder(workspace, AGENT, run_id, 1)
    for place in (folder / "lightgbm", folder):
        place.mkdir(exist_ok=True)
        (place / "best_model.txt").write_text(text)
        write_sidecar(
            Sidecar(
                run_id=run_id,
                created_at=datetime(2026, 1, 1, tzinfo=UTC),
                model_type="lightgbm",
                checkpoint_path=str(
                    Path("models") / AGENT / place.relative_to(folder) / "best_model.txt"
                ),
                checkpoint_format="txt",
                checkpoint_sha256=hashlib.sha256(text.encode()).hexdigest(),
                target="price",
                feature_names=("size",),
                feature_schema_hash=feature_schema_hash(("size",)),
                preprocessing={},
                params={},
                rounds=1,
                versions={},
                metrics={"cv": scores(r2), "holdout": scores(r2)},
                signal=Signal(verdict="strong", reasons=()),
            ),
            place,
        )
    return folder


def shown(workspace, folder):
    return str(folder.relative_to(workspace))


def in_force(workspace):
    return open_artifact(workspace, workspace / "models" / AGENT / SIDECAR).sidecar.run_id


def test_a_version_that_waits_is_put_in_force_after_its_hashes_were_checked(tmp_path):
    publish(tmp_path, AGENT, lay_out(tmp_path, "old"))
    waiting = lay_out(tmp_path, "new", text="another model")
    assert in_force(tmp_path) == "old"
    assert publish_version(tmp_path, AGENT, shown(tmp_path, waiting)).run_id == "new"
    assert in_force(tmp_path) == "new"
    assert version_in_force(tmp_path, AGENT) == Path("models/.versions/new")
    # Asked again, as after a lost answer, it stays.
    publish_version(tmp_path, AGENT, shown(tmp_path, waiting))
    assert in_force(tmp_path) == "new"


@pytest.mark.parametrize("place", ["", "lightgbm"])
def test_a_version_with_a_changed_checkpoint_is_refused_and_the_old_one_stays(tmp_path, place):
    publish(tmp_path, AGENT, lay_out(tmp_path, "old"))
    waiting = lay_out(tmp_path, "new")
    (waiting / place / "best_model.txt").write_text("tampered")
    with pytest.raises(ArtifactError, match="not the one that was trained"):
        publish_version(tmp_path, AGENT, shown(tmp_path, waiting))
    assert in_force(tmp_path) == "old"


def test_a_version_without_a_winner_is_refused(tmp_path):
    waiting = lay_out(tmp_path, "new")
    (waiting / SIDECAR).unlink()
    with pytest.raises(ArtifactError, match="no such sidecar"):
        publish_version(tmp_path, AGENT, shown(tmp_path, waiting))
    assert not (tmp_path / "models" / AGENT).exists()


def test_models_of_another_agent_are_refused(tmp_path):
    waiting = lay_out(tmp_path, "new")
    with pytest.raises(ArtifactError, match="wanted a file in models/scorer"):
        publish_version(tmp_path, "scorer", shown(tmp_path, waiting))


@pytest.mark.parametrize(
    "way", ["gone", "models", "models/.versions", "models/.versions/..", "../x"]
)
def test_what_is_no_version_folder_is_refused(tmp_path, way):
    lay_out(tmp_path, "new")
    with pytest.raises(ArtifactError, match="wanted a version folder"):
        publish_version(tmp_path, AGENT, way)


def test_a_link_among_the_versions_is_refused(tmp_path):
    waiting = lay_out(tmp_path, "new")
    (waiting.parent / "link").symlink_to(waiting, target_is_directory=True)
    with pytest.raises(ArtifactError, match="wanted a version folder"):
        publish_version(tmp_path, AGENT, "models/.versions/link")


def test_of_many_versions_that_wait_the_last_are_kept_and_the_one_in_force(tmp_path):
    publish(tmp_path, AGENT, lay_out(tmp_path, "in-force"))
    for number in range(VERSIONS_KEPT + 3):
        folder = lay_out(tmp_path, f"waits-{number}")
        os.utime(folder, (1000 + number, 1000 + number))
        keep_last_versions(tmp_path, folder)
    left = {path.name for path in (tmp_path / "models" / ".versions").iterdir()}
    # One is the newest that waits, one is in force; the others are the youngest of the rest.
    assert left == {"in-force", "waits-7", "waits-6", "waits-5", "waits-4"}
    assert in_force(tmp_path) == "in-force"


def fill(workspace, number=VERSIONS_KEPT + 2):
    """Newer versions, until old ones are dropped."""
    for i in range(number):
        keep_last_versions(workspace, lay_out(workspace, f"newer-{i}"))


def test_a_version_that_waits_is_kept_until_nobody_is_asked(tmp_path):
    publish(tmp_path, AGENT, lay_out(tmp_path, "old"))
    waiting = lay_out(tmp_path, "waits")
    assert let_wait(tmp_path, AGENT, waiting) == "models/.versions/old"
    os.utime(waiting, (1000, 1000))
    fill(tmp_path)
    assert waiting.is_dir()
    wait_no_more(tmp_path, shown(tmp_path, waiting))
    os.utime(waiting, (1000, 1000))
    fill(tmp_path, 1)
    assert not waiting.exists()


def test_a_version_that_waits_to_be_the_first_in_force_is_kept(tmp_path):
    waiting = lay_out(tmp_path, "waits")
    assert let_wait(tmp_path, AGENT, waiting) is None
    os.utime(waiting, (1000, 1000))
    fill(tmp_path)
    assert waiting.is_dir()


def test_a_version_that_waits_to_replace_what_is_no_longer_in_force_is_dropped(tmp_path):
    publish(tmp_path, AGENT, lay_out(tmp_path, "old"))
    waiting = lay_out(tmp_path, "waits")
    let_wait(tmp_path, AGENT, waiting)
    os.utime(waiting, (1000, 1000))
    publish(tmp_path, AGENT, lay_out(tmp_path, "better"))
    fill(tmp_path)
    assert not waiting.exists()


def test_a_published_version_waits_no_more(tmp_path):
    waiting = lay_out(tmp_path, "waits")
    let_wait(tmp_path, AGENT, waiting)
    publish_version(tmp_path, AGENT, shown(tmp_path, waiting))
    assert not (waiting / WAITS_FILE).exists()


def test_the_link_is_turned_back_to_the_version_before_which_publishing_has_kept(tmp_path):
    old = lay_out(tmp_path, "old")
    publish(tmp_path, AGENT, old)
    os.utime(old, (1000, 1000))
    for number in range(VERSIONS_KEPT + 1):
        lay_out(tmp_path, f"withheld-{number}")
    new = lay_out(tmp_path, "new")
    publish(tmp_path, AGENT, new)
    back = turn_back(tmp_path, AGENT, new.relative_to(tmp_path), old.relative_to(tmp_path))
    assert back == Path("models/.versions/old")
    assert in_force(tmp_path) == "old"
    assert new.is_dir()


def test_a_version_tells_what_it_has_replaced_also_when_it_is_published_once_more(tmp_path):
    first = lay_out(tmp_path, "first")
    publish(tmp_path, AGENT, first)
    assert replaced_by(tmp_path, first) is None
    second = lay_out(tmp_path, "second")
    for _ in range(2):
        publish(tmp_path, AGENT, second)
        assert replaced_by(tmp_path, second) == Path("models/.versions/first")


def test_a_plain_folder_that_was_in_force_is_in_force_again(tmp_path):
    lay_out(tmp_path, "copied").rename(tmp_path / "models" / AGENT)
    new = lay_out(tmp_path, "new")
    publish(tmp_path, AGENT, new)
    assert turn_back(tmp_path, AGENT, new.relative_to(tmp_path), None) is not None
    assert in_force(tmp_path) == "copied"


def test_a_link_that_points_elsewhere_meanwhile_is_not_turned(tmp_path):
    for name in ("old", "new", "newest"):
        publish(tmp_path, AGENT, lay_out(tmp_path, name))
    new, old = Path("models/.versions/new"), Path("models/.versions/old")
    with pytest.raises(ArtifactError, match="another version is in force"):
        turn_back(tmp_path, AGENT, new, old)
    with pytest.raises(ArtifactError, match="is gone"):
        turn_back(tmp_path, AGENT, Path("models/.versions/newest"), Path("models/.versions/x"))
    assert versions_in_force(tmp_path) == {AGENT: Path("models/.versions/newest")}


def test_nothing_is_in_force_in_a_new_workspace(tmp_path):
    assert versions_in_force(tmp_path) == {}
