"""An artifact that is replaced while it is read is read again; a damaged one is not."""

import pytest

from base_models.errors import DamagedArtifact
from base_models.files import read_artifact, write_artifact


def test_files_of_two_artifacts_never_come_together(tmp_path):
    folder = tmp_path / "stack"
    write_artifact(folder, "stack", {"a": b"old", "b": b"old"})
    reads = []

    def read(artifact):
        first = artifact.read("a")
        if not reads:
            write_artifact(folder, "stack", {"a": b"new", "b": b"new"})
        reads.append(first)
        return first, artifact.read("b")

    assert read_artifact(folder, "stack", read) == (b"new", b"new")
    assert reads == [b"old", b"new"]


def test_a_changed_file_is_damage_however_often_it_is_read(tmp_path):
    folder = tmp_path / "stack"
    write_artifact(folder, "stack", {"a": b"old"})
    (folder / "a").write_bytes(b"odd")
    with pytest.raises(DamagedArtifact, match="was changed after it was written"):
        read_artifact(folder, "stack", lambda artifact: artifact.read("a"))
