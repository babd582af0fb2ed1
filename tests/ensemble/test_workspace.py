"""Where everything lies, and what was made last."""

from pathlib import Path

import pytest

from base_models.errors import DamagedArtifact, UsageError
from ensemble.workspace import Workspace


def test_every_run_has_a_folder_named_by_what_it_is(tmp_path):
    workspace = Workspace(tmp_path)
    folders = [
        workspace.embeddings,
        workspace.demo,
        workspace.data("ff"),
        workspace.base_run("dora", 1, "aa"),
        workspace.meta_run("ridge", "bb"),
    ]
    names = [folder.relative_to(tmp_path).as_posix() for folder in folders]
    assert names == [
        "embeddings",
        "demo",
        "data/ff",
        "base/dora-s1-aa",
        "meta/ridge-bb",
    ]
    assert not list(tmp_path.iterdir())  # asking makes nothing


def test_what_was_made_last_is_remembered(tmp_path):
    workspace = Workspace(tmp_path / "new")
    with pytest.raises(
        UsageError,
        match=r"holds no level0\.json: run `fit_base` first, or name another --arti",
    ):
        workspace.latest("level0", "fit_base")
    workspace.point("level0", {"data": "d", "runs": ["a"]})
    workspace.point("level0", {"data": "d", "runs": ["b"]})
    assert workspace.latest("level0", "fit_base") == {"data": "d", "runs": ["b"]}


def test_a_damaged_pointer_is_named(tmp_path):
    (tmp_path / "stack.json").write_text("{")
    with pytest.raises(DamagedArtifact, match=r"stack\.json is not valid JSON"):
        Workspace(Path(tmp_path)).latest("stack", "fit_meta")


@pytest.mark.parametrize("value", ["{}", "[]", '{"folder": "x"}'])
def test_a_pointer_that_says_something_else_is_named(tmp_path, value):
    (tmp_path / "stack.json").write_text(value)
    with pytest.raises(
        DamagedArtifact,
        match=r"stack\.json does not say what was made last; run `fit_meta` again",
    ):
        Workspace(Path(tmp_path)).latest("stack", "fit_meta")
