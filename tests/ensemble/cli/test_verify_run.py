"""A run is proved from its manifest, and made again with the same bytes."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from builders import listening_test, tones
from commands import call, refused

from base_models.files import LOG, MANIFEST, seal


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """An artifacts folder with a quick model and a network, on 30 clips."""
    root = tmp_path_factory.mktemp("made")
    labels = 1.5 + 0.8 * (np.arange(30) % 4)
    data = listening_test(
        root,
        tones(30, seconds=0.3, noise=0.01),
        {"train": 16, "dev": 8, "test": 6},
        labels={"mos": labels + np.random.default_rng(0).uniform(0, 0.5, 30)},
    )
    words = ["--data", data, "--audio-encoder", "logmel", "--folds", 2, "--jobs", 1]
    models = ["--models", "pooled_ridge", "dora:1", "--set", "max_epochs=2"]
    code, _, err = call("fit_base", *words, *models, "--artifacts", root / "art")
    assert code == 0, err
    return root / "art"


@pytest.fixture
def art(made, tmp_path):
    return shutil.copytree(made, tmp_path / "art")


def rows_of(folder, *words):
    """Exit code, what was said, and the facts as JSON."""
    code, out, err = call("verify_run", folder, *words, "--json", "-")
    return code, err, json.loads(out)


def test_all_that_is_as_it_was_written_is_said_so(art):
    code, err, facts = rows_of(art)
    assert code == 0, err
    roles = [row["role"] for row in facts["artifacts"]]
    assert roles == [*["base model", "out-of-fold predictions"] * 2, "clip table"]
    assert {row["manifest"] for row in facts["artifacts"]} == {"as written"}
    assert facts["pointers"] == []
    assert "5 artifacts" in err


@pytest.mark.parametrize("pattern", ["base/*", "data/*"])
def test_a_changed_file_of_any_artifact_is_named(art, pattern):
    for folder in art.glob(pattern):
        # The log is no part of the artifact.
        unsealed = (MANIFEST, LOG)
        path = min(path for path in folder.iterdir() if path.name not in unsealed)
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        for place in (art, folder):
            code, err, _ = rows_of(place)
            assert code == 4
            assert f"damaged: {path} was changed" in err
        path.write_bytes(whole)


def test_a_renamed_run_and_a_changed_pointer_are_named(art):
    run = next(art.glob("base/dora-s0-*[!2]"))
    run.rename(run.with_name("dora-s1-0123456789"))
    pointer = art / "level0.json"
    pointer.write_bytes(pointer.read_bytes().replace(b"base", b"bass", 1))
    code, err, facts = rows_of(art)
    assert code == 4
    assert "it was copied or renamed" in err
    assert str(pointer) in facts["pointers"][0]


def test_base_models_are_made_again_with_the_same_bytes(art):
    # From the audio, whatever the store has.
    shutil.rmtree(art / "embeddings")
    code, err, facts = rows_of(art, "--rebuild")
    assert code == 0, err
    rebuilt = {row["role"]: row["rebuilt"] for row in facts["artifacts"]}
    assert rebuilt["base model"] == "equal"
    assert rebuilt["clip table"] == ""


def test_what_was_made_up_is_no_equal_of_what_is_made_again(art):
    run = next(art.glob("base/pooled_ridge-s0-*[!2]"))
    table = run / "predictions-dev.parquet"
    frame = pd.read_parquet(table)
    frame.iloc[::-1].to_parquet(table, index=False)
    # Whoever can write the manifest can make it fit.
    manifest = json.loads((run / MANIFEST).read_text())
    seal(run, manifest["role"], manifest["files"], run.name)
    assert rows_of(run)[0] == 0
    code, err, _ = rows_of(run, "--rebuild")
    assert code == 3
    assert f"differs in {run.name}/predictions-dev.parquet" in err


def test_a_run_whose_audio_is_another_cannot_be_made_again(art, made):
    audio = sorted(made.parent.glob("*.wav"))[0]
    before = audio.read_bytes()
    try:
        audio.write_bytes(before[:-2] + b"\x01\x01")
        run = next(art.glob("base/pooled_ridge-s0-*[!2]"))
        code, err, _ = rows_of(run, "--rebuild")
    finally:
        audio.write_bytes(before)
    assert code == 3
    assert "cannot be made again" in err


def test_a_folder_without_anything_finished_is_refused(tmp_path):
    refused(2, call("verify_run", tmp_path / "nowhere"), "is no folder")
    refused(2, call("verify_run", tmp_path), "holds nothing that is finished")
    (tmp_path / "a").write_text("b")
    seal(tmp_path, "something", ["a"])
    assert call("verify_run", tmp_path)[0] == 0
    refused(2, call("verify_run", tmp_path, "--rebuild"), "holds no base model")
