"""``inspect_stack`` says what is inside a stack of base models, and shares it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from commands import call, start
from stand_in_hub import running_hub


@pytest.fixture
def stack(place):
    """Folder of the finished stack, a copy that tests may change."""
    pointer = json.loads((place.art / "stack.json").read_text())
    copy = place.tmp / "stack"
    shutil.copytree(place.art / pointer["folder"], copy)
    return copy


@pytest.fixture
def call_with_hub(tmp_path):
    """Function that runs a command as a process whose hub is the stand-in."""
    with running_hub() as hub:
        environment = os.environ | {
            "HF_ENDPOINT": hub.endpoint,
            "HF_TOKEN": hub.token,
            "HF_HUB_CACHE": str(tmp_path / "cache"),
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
        }

        def call_it(command, *words):
            process = start(command, *words, env=environment)
            out, err = process.communicate(timeout=300)
            return process.returncode, out, err

        yield call_it


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
    assert "| logmel | MIT | allowed | nowhere: it is part of stackedmos |" in card


def test_licence_and_private_are_refused_where_nothing_is_shared(stack):
    code, _, err = call("inspect_stack", stack, "--private")
    assert code == 2
    assert "--licence and --private are of --push or --card" in err


def test_a_pushed_stack_scores_as_the_one_at_hand(place, stack, call_with_hub):
    code, _, err = call_with_hub("inspect_stack", stack, "--push", "ada/songs")
    assert code == 0, err
    assert "pushed to hub:ada/songs, commit" in err
    clips = sorted(place.tree.rglob("*.wav"))[:3]
    files = []
    runs = {"here": (call, stack), "there": (call_with_hub, "hub:ada/songs")}
    for name, (command, word) in runs.items():
        files.append(place.tmp / f"{name}.csv")
        options = ("--stack", word, "--artifacts", place.art, "-o", files[-1])
        code, _, err = command("predict_mos", *clips, *options)
        assert code == 0, err
    assert files[0].read_bytes() == files[1].read_bytes()
    # Their folders differ, and are of one stack by all that scores depend on.
    here, there = (json.loads(Path(f"{file}.meta.json").read_text()) for file in files)
    assert here["stack_hash"] == there["stack_hash"] != ""
    assert here["stack"] != there["stack"]


def test_a_stack_that_is_nowhere_is_said_to_be(tmp_path, call_with_hub):
    code, _, err = call("inspect_stack", tmp_path / "nowhere")
    assert code == 2
    assert "does not exist" in err
    code, _, err = call_with_hub("inspect_stack", "hub:ada/nothing")
    assert code == 2
    assert "no such repository, or it is private" in err
