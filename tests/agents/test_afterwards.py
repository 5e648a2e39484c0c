"""What happens with results once an attempt is judged: at worst it costs a sentence."""

import json

import pytest

PAGE = "diagnostics_outputs/training_diagnostics.html"


@pytest.fixture
def notes(watcher):
    def read():
        story = watcher("--explain", "last", "--json").document
        return json.dumps(story)

    return read


def test_step_that_leaves_no_diagnostics_gets_no_page(act, folder):
    assert act("complete").code == 0
    assert not (folder.root / PAGE).exists()


def test_page_is_written_when_an_attempt_has_trained(act, folder):
    assert act("diagnosed").code == 0
    page = (folder.root / PAGE).read_text(encoding="utf-8")
    assert "No signal" in page


def test_page_that_cannot_be_written_is_said_and_fails_nothing(act, folder, notes):
    (folder.root / PAGE).mkdir(parents=True)
    assert act("diagnosed").code == 0
    assert "the report was not written" in notes()
