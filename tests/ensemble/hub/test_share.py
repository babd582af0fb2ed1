"""A pushed stack comes back the same, says what it is, and is never half there."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from builders import Predictor, prediction_tables
from huggingface_hub import constants
from sklearn.linear_model import Ridge
from stand_in_hub import running_hub

from base_models.errors import DamagedArtifact, UsageError
from base_models.files import MANIFEST
from ensemble import StackedMOS
from ensemble.hub.model_card import model_card
from ensemble.hub.place import HubPlace, parse_place
from ensemble.hub.repository import HubAccess
from ensemble.hub.share import Sharing, push_stack, stack_folder
from ensemble.hub.shared_copy import CARD, check_shared_names
from ensemble.hub.stack_contents import stack_contents

NAME = "ada/songs"

# The client of the hub uploads by an older way of its own library.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture(autouse=True)
def _plain_uploads(monkeypatch):
    # Tests are offline but for the stand-in, and large files go as it takes them.
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)


@pytest.fixture
def hub():
    with running_hub() as hub:
        yield hub


@pytest.fixture
def access(hub, tmp_path):
    return HubAccess(token="good", endpoint=hub.endpoint, cache=tmp_path / "cache")


@pytest.fixture(scope="module")
def matrix():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 4))
    y = np.clip(3 + X[:, 0] + rng.normal(size=80) * 0.3, 1, 5)
    return X, y


@pytest.fixture(scope="module")
def stack(matrix):
    stack = StackedMOS([("a", Ridge()), ("b", Ridge(alpha=100))], "ridge").fit(*matrix)
    stack.assess()
    return stack


@pytest.fixture
def folder(stack, tmp_path):
    stack.save(tmp_path / "saved")
    return tmp_path / "saved"


def test_a_pushed_and_pulled_stack_predicts_the_same_bytes(stack, matrix, access):
    X, _ = matrix
    pushed = stack.push(NAME, access=access)
    again = StackedMOS.from_pretrained(NAME, pushed.revision, access)
    assert again.predict(X).tobytes() == stack.predict(X).tobytes()
    distributions = again.predict_distribution(X)
    assert distributions.tobytes() == stack.predict_distribution(X).tobytes()


def test_a_stack_keeps_its_identity_on_every_way(stack, folder, access, tmp_path):
    identity = stack_contents(folder).identity
    StackedMOS.load(folder).push(NAME, access=access)
    StackedMOS.from_pretrained(NAME, access=access).push(tmp_path / "copy")
    push_stack(folder, tmp_path / "other")
    for place in (
        stack_folder(NAME, access=access),
        tmp_path / "copy",
        tmp_path / "other",
    ):
        assert stack_contents(place).identity == identity
        assert (
            stack_contents(place).verdict
            == stack.report_.values()["verdict"]["sentence"]
        )


def test_a_push_is_one_commit_without_what_was_there_before(folder, hub, access):
    push_stack(folder, NAME, access=access)
    hub.repositories[NAME].branches["main"] = hub.repositories[NAME].add(
        hub.files(NAME) | {"base/old-s9/weights.safetensors": b"old"}
    )
    before = len(hub.repositories[NAME].commits)
    push_stack(folder, NAME, access=access)
    assert len(hub.repositories[NAME].commits) == before + 1
    listed = json.loads(hub.files(NAME)[MANIFEST])["files"]
    assert set(hub.files(NAME)) == {*listed, MANIFEST, CARD, ".gitattributes"}


def test_an_older_revision_stays_what_it_was(stack, matrix, access):
    X, y = matrix
    first = stack.push(NAME, access=access)
    other = StackedMOS(final_estimator="mean").fit(X, y)
    other.push(NAME, access=access)
    old = StackedMOS.from_pretrained(f"hub:{NAME}@{first.revision}", access=access)
    new = StackedMOS.from_pretrained(NAME, access=access)
    np.testing.assert_array_equal(old.predict(X), stack.predict(X))
    np.testing.assert_array_equal(new.predict(X), other.predict(X))


def test_a_branch_is_a_revision(stack, hub, access):
    pushed = stack.push(f"hub:{NAME}@trial", access=access)
    assert pushed.place == f"hub:{NAME}@trial"
    assert MANIFEST not in hub.files(NAME)
    assert stack_folder(pushed.place, access=access).name == pushed.revision


def test_what_was_pulled_once_is_there_without_the_hub(stack, hub, access, tmp_path):
    stack.push(NAME, access=access)
    folder = stack_folder(NAME, access=access)
    hub.is_broken = True
    asked = len(hub.requests)
    assert stack_folder(NAME, access=access) == folder
    assert len(hub.requests) == asked + 1
    offline = HubAccess(endpoint=hub.endpoint, cache=access.cache, local_only=True)
    assert stack_folder(NAME, access=offline) == folder
    assert len(hub.requests) == asked + 1
    with pytest.raises(UsageError, match="not in the cache, and the hub cannot be"):
        stack_folder("ada/other", access=access)


def test_nothing_is_fetched_twice(stack, hub, access):
    stack.push(NAME, access=access)
    stack_folder(NAME, access=access)
    asked = len(hub.requests)
    stack_folder(NAME, access=access)
    again = [path for _, path in hub.requests[asked:]]
    assert not [path for path in again if "/resolve/" in path]


def test_a_file_that_was_changed_on_the_hub_is_refused(stack, hub, access):
    stack.push(NAME, access=access)
    files = dict(hub.files(NAME))
    files["stack.json"] = files["stack.json"].replace(b'"ridge"', b'"mean" ')
    repository = hub.repositories[NAME]
    repository.branches["main"] = repository.add(files)
    with pytest.raises(DamagedArtifact, match="SHA-256 differs"):
        StackedMOS.from_pretrained(NAME, access=access)


@pytest.mark.parametrize(
    "name",
    [
        "../up.json",
        "/etc/x.json",
        "a//b.json",
        "c:\\x.json",
        "run.py",
        "x.pkl",
        "a\n.json",
    ],
)
def test_a_manifest_that_leads_elsewhere_is_refused_before_it_is_fetched(
    name, stack, hub, access
):
    stack.push(NAME, access=access)
    files = dict(hub.files(NAME))
    manifest = json.loads(files[MANIFEST])
    manifest["files"][name] = "0" * 64
    files[MANIFEST] = json.dumps(manifest).encode()
    repository = hub.repositories[NAME]
    repository.branches["main"] = repository.add(files)
    with pytest.raises(UsageError, match="a shared stack consists of"):
        stack_folder(NAME, access=access)
    assert not [path for _, path in hub.requests if path.endswith("stack.json")]


def test_a_repository_without_a_stack_is_named_as_one(hub, access):
    access.api().create_repo(NAME)
    with pytest.raises(UsageError, match=r"holds no manifest\.json"):
        stack_folder(NAME, access=access)


def test_what_the_hub_refuses_is_said_in_words(stack, folder, hub, access):
    stranger = HubAccess(token="bad", endpoint=hub.endpoint, cache=access.cache)
    with pytest.raises(UsageError, match="needs a token that may do it"):
        push_stack(folder, "ada/new", access=stranger)
    stack.push(NAME, Sharing(private=True), access)
    with pytest.raises(UsageError, match="no such repository, or it is private"):
        stack_folder(NAME, access=stranger)
    with pytest.raises(UsageError, match="has no revision 'v9'"):
        stack_folder(f"{NAME}@v9", access=access)
    with pytest.raises(UsageError, match="is a folder here, which has no revisions"):
        StackedMOS.from_pretrained(folder, "v1")


def test_a_damaged_stack_is_not_pushed(folder, hub, access):
    (folder / "stack.json").write_text("{}")
    with pytest.raises(DamagedArtifact, match="SHA-256 differs"):
        push_stack(folder, NAME, access=access)
    assert not hub.requests


def test_a_folder_with_other_files_is_not_pushed_to(folder, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all my work")
    with pytest.raises(UsageError, match="holds other files"):
        push_stack(folder, tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "all my work"


def test_pages_and_tables_of_clips_stay_behind(folder, tmp_path):
    files = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    assert Path("out_of_fold.csv") in files
    push_stack(folder, tmp_path / "copy")
    names = {path.suffix for path in (tmp_path / "copy").rglob("*") if path.is_file()}
    assert names <= {".json", ".safetensors", ".skops", ".parquet", ".md"}


@pytest.mark.parametrize(
    ("word", "revision", "place"),
    [
        ("ada/songs", None, HubPlace("ada/songs")),
        ("ada/songs@v2", None, HubPlace("ada/songs", "v2")),
        ("ada/songs", "v2", HubPlace("ada/songs", "v2")),
        ("hub:ada/songs", None, HubPlace("ada/songs")),
    ],
)
def test_user_and_name_are_a_repository(word, revision, place):
    assert parse_place(word, revision) == place


def test_a_folder_that_is_there_is_itself(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ada").mkdir()
    # The folder to push to need not be there yet.
    assert str(parse_place("ada/songs")) == "ada/songs"
    assert parse_place("hub:ada/songs") == HubPlace("ada/songs")
    assert str(parse_place("songs")) == "songs"


@pytest.mark.parametrize("word", ["hub:songs", "hub:", "hub:a/b/c", "hub:../x"])
def test_a_word_that_names_no_repository_is_refused(word):
    with pytest.raises(UsageError, match="write hub:USER/NAME"):
        parse_place(word)
    with pytest.raises(UsageError, match="contradict"):
        parse_place("hub:a/b@v1", "v2")


def test_files_of_a_stack_are_told_from_others():
    check_shared_names(["stack.json", "base/dora-s0/weights.safetensors"], "here")
    with pytest.raises(UsageError, match=r"here lists 'x\.sh'"):
        check_shared_names(["x.sh"], "here")


def test_the_card_says_what_was_measured_and_what_was_not(stack, matrix, tmp_path):
    stack.push(tmp_path / "measured", Sharing(licence="cc-by-4.0"))
    card = (tmp_path / "measured" / CARD).read_text()
    assert yaml.safe_load(card.split("---")[1])["license"] == "cc-by-4.0"
    assert stack.report_.values()["verdict"]["sentence"] in card
    assert "It was not measured" not in card
    plain = StackedMOS(final_estimator="mean").fit(*matrix)
    plain.push(tmp_path / "plain")
    assert "It was not measured" in (tmp_path / "plain" / CARD).read_text()


def test_words_of_a_stranger_cannot_write_the_card(folder):
    hostile = "a`|[x](http://e.example)<img src=x>\n---\n# Certified\nlicense: mit"
    contents = replace(
        stack_contents(folder),
        aspects=(hostile,),
        scales={hostile: (1.0, 5.0)},
        learner=hostile,
        source=hostile,
        report={
            "verdict": {"sentence": hostile, "limits": hostile},
            "leaks": [hostile],
        },
    )
    card = model_card(contents, hostile, licence=hostile)
    _, front, text = card.split("---\n", 2)
    assert yaml.safe_load(front)["license"] == " ".join(hostile.split())
    assert "# Certified" not in text.splitlines()
    prose = re.sub(r"```.*?```|(?<!\\)`[^`]*`", "", text, flags=re.DOTALL)
    assert not re.search(r"<img|\]\(http|^license: mit$", prose, re.MULTILINE)
    # A row of a table has as many cells as its head, and a code span ends where it did.
    row = next(row for row in text.splitlines() if row.startswith("| a"))
    assert len(re.split(r"(?<!\\)\|", row)) == 5
    assert "combined by the learner `a'|[x]" in text


def test_a_stack_of_stored_predictions_says_that_it_scores_no_audio(tmp_path):
    labels = np.random.default_rng(1).uniform(1, 5, (40, 1))
    tables = prediction_tables(
        labels, {"a|b": Predictor(noise=0.5), "c": Predictor(noise=1.0)}, aspects=["mi"]
    )
    named = [(table.model, table) for table in tables]
    frame = pd.DataFrame({"clip_id": tables[0].clip_ids})
    stack = StackedMOS(named, "mean", cv="prefit").fit(
        frame, pd.DataFrame({"mi": labels[:, 0]})
    )
    stack.push(tmp_path / "stack")
    contents = stack_contents(tmp_path / "stack")
    assert not contents.scores_audio
    card = (tmp_path / "stack" / CARD).read_text()
    assert "scores no audio" in card
    assert "| a\\|b |" in card


def test_no_rating_can_be_worked_out_from_what_is_shared(stack, matrix, tmp_path):
    _, y = matrix
    stack.push(tmp_path / "stack")
    names = {path.name for path in (tmp_path / "stack").rglob("*")}
    assert not [name for name in names if "fold" in name]
    # Errors in the order of clips would tell ratings beside any scores of these clips.
    calibration = StackedMOS.load(tmp_path / "stack").final_estimator_.calibrations_[0]
    residuals = calibration.residuals
    assert (np.diff(residuals) >= 0).all()
    assert abs(np.corrcoef(residuals, y)[0, 1]) < 0.3
