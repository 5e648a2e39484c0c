from __future__ import annotations

from hashlib import sha256

from steps.results import outputs_in


def test_outputs_carry_their_digest_and_their_path_from_the_workspace(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.txt").write_bytes(b"two")
    (output,) = outputs_in(tmp_path, "a/b.txt")
    assert (output.path, output.bytes) == ("a/b.txt", 3)
    assert output.sha256 == sha256(b"two").hexdigest()
