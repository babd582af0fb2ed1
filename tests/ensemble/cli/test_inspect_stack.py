"""``inspect_stack`` says what is inside a stack of base models, and shares it."""

import json
import shutil
import sys

import pytest
from commands import call
from huggingface_hub import constants
from stand_in_hub import running_hub

from ensemble.hub.stack_contents import stack_contents

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def stack(place):
    """Folder of the finished stack, a copy that tests may change."""
    pointer = json.loads((place.art / "stack.json").read_text())
    copy = place.tmp / "stack"
    shutil.copytree(place.art / pointer["folder"], copy)
    return copy


@pytest.fixture
def hub(monkeypatch, tmp_path):
    with running_hub() as hub:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
        monkeypatch.setattr("huggingface_hub.hf_api.get_token", lambda: "good")
        monkeypatch.setenv("HF_TOKEN", "good")
        yield hub


def test_it_names_models_encoders_and_licences(stack, tmp_path):
    code, out, _ = call("inspect_stack", stack, "--json", tmp_path / "out.json")
    assert code == 0
    facts = json.loads((tmp_path / "out.json").read_text())
    (model,) = facts["models"]
    assert model["kind"] == "network"
    assert model["encoders"] == ["logmel", "hashed_text"]
    assert {one["licence"] for one in facts["encoders"]} == {"MIT"}
    assert facts["aspects"] == ["mi", "ta"]
    assert facts["needs_text"] == ["ta"]
    assert facts["scores_audio"]
    assert facts["demo"]
    for word in ("dora-s0", "logmel", "MIT", "made up", facts["identity"]):
        assert word in out


def test_no_weights_are_loaded(stack):
    # Torch would be the first to come with weights.
    program = (
        "import sys; from ensemble.hub.stack_contents import stack_contents; "
        f"stack_contents({str(stack)!r}); assert 'torch' not in sys.modules"
    )
    import subprocess

    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_damaged_file_is_named_and_nothing_is_shared(stack, tmp_path):
    (stack / "base" / "dora-s0" / "weights.safetensors").write_bytes(b"other")
    (stack / "meta.safetensors").unlink()
    code, _, err = call("inspect_stack", stack, "--push", tmp_path / "copy")
    assert code == 4
    assert "damaged: base/dora-s0/weights.safetensors: its SHA-256 differs" in err
    assert "damaged: meta.safetensors" in err
    assert not (tmp_path / "copy").exists()


def test_a_card_is_written(stack, tmp_path):
    code, _, _ = call("inspect_stack", stack, "--card", tmp_path / "card.md")
    assert code == 0
    card = (tmp_path / "card.md").read_text()
    assert "**A demonstration.**" in card
    assert "| logmel | MIT | allowed | embedded |" in card


def test_licence_and_private_are_refused_where_nothing_is_shared(stack):
    code, _, err = call("inspect_stack", stack, "--private")
    assert code == 2
    assert "--licence and --private are of --push or --card" in err


def test_a_pushed_stack_scores_as_the_one_at_hand(place, stack, hub, tmp_path):
    code, _, err = call("inspect_stack", stack, "--push", "ada/songs")
    assert code == 0
    assert "pushed to hub:ada/songs, commit" in err
    clips = sorted(place.tree.rglob("*.wav"))[:3]
    files = []
    for name, word in (("here", stack), ("there", "hub:ada/songs")):
        files.append(tmp_path / f"{name}.csv")
        code, _, err = call(
            "predict_mos",
            *clips,
            "--stack",
            word,
            "--artifacts",
            place.art,
            "-o",
            files[-1],
        )
        assert code == 0, err
    assert files[0].read_bytes() == files[1].read_bytes()
    code, out, _ = call("inspect_stack", "hub:ada/songs")
    assert code == 0
    assert stack_contents(stack).identity in out


def test_a_stack_that_is_nowhere_is_said_to_be(tmp_path, hub):
    code, _, err = call("inspect_stack", tmp_path / "nowhere")
    assert code == 2
    assert "does not exist" in err
    code, _, err = call("inspect_stack", "hub:ada/nothing")
    assert code == 2
    assert "no such repository, or it is private" in err
