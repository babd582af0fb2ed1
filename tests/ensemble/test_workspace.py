"""Where everything lies, and what was made last."""

from pathlib import Path

import pytest

from base_models.errors import DamagedArtifact, UsageError
from base_models.files import write_json
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
    for name in ("a", "b"):
        run = {"name": name, "folder": f"base/{name}"}
        workspace.point("level0", {"data": "d", "runs": [run]})
    assert workspace.latest("level0", "fit_base") == {"data": "d", "runs": [run]}


def test_a_damaged_pointer_is_named(tmp_path):
    (tmp_path / "stack.json").write_text("{")
    with pytest.raises(DamagedArtifact, match=r"stack\.json is not valid JSON"):
        Workspace(Path(tmp_path)).latest("stack", "fit_meta")


@pytest.mark.parametrize(
    "value", ["{}", '{"folder": "x"}', '{"folder": "../x", "demo": false}']
)
def test_a_pointer_that_says_something_else_is_named(tmp_path, value):
    (tmp_path / "stack.json").write_text(value)
    with pytest.raises(
        DamagedArtifact,
        match=r"stack\.json does not say what was made last; run `fit_meta` again",
    ):
        Workspace(Path(tmp_path)).latest("stack", "fit_meta")


def test_any_changed_byte_of_a_pointer_is_found(tmp_path):
    workspace = Workspace(tmp_path)
    workspace.point("stack", {"folder": "meta/ridge-0123", "demo": False})
    path = tmp_path / "stack.json"
    good = path.read_bytes()
    assert workspace.latest("stack", "fit_meta")["demo"] is False
    for position in range(len(good)):
        for bit in range(8):
            changed = bytearray(good)
            changed[position] ^= 1 << bit
            path.write_bytes(changed)
            with pytest.raises(DamagedArtifact, match=r"stack\.json"):
                workspace.latest("stack", "fit_meta")


def test_a_pointer_of_an_older_version_is_followed(tmp_path):
    workspace = Workspace(tmp_path)
    value = {"folder": "meta/ridge-0123", "demo": False}
    write_json(tmp_path / "stack.json", value)
    assert workspace.latest("stack", "fit_meta") == value
    write_json(tmp_path / "stack.json", {**value, "Demo": True})
    with pytest.raises(DamagedArtifact, match="'Demo' is no key of it"):
        workspace.latest("stack", "fit_meta")
