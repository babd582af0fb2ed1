"""``--explain`` and ``--deletion`` with models on pooled embeddings, which have no
attention: their scores are shared out between what they read.
"""

import json
import shutil
from dataclasses import replace

import pandas as pd
import pytest
from builders import only_row
from commands import call, finish, refused, two_epochs
from matplotlib.figure import Figure
from safetensors import safe_open

from base_models.pooled.block_contributions import BlockContributions
from ensemble.attention.model_contributions import ModelContributions
from ensemble.attention.picture import picture


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """A stack of a model with attention and two without."""
    models = ("dora:1", "pooled_gp@logmel:1", "pooled_ridge:1")
    with two_epochs():
        return finish(tmp_path_factory.mktemp("mixed"), models)


@pytest.fixture(scope="module")
def pooled(mixed, tmp_path_factory):
    """A stack of the two without attention alone."""
    root = tmp_path_factory.mktemp("pooled")
    shutil.copytree(mixed.art, root / "art")
    place = replace(mixed, art=root / "art", tmp=root)
    code, _, err = call(*place.fit_meta("--models", "pooled_*"))
    assert code == 0, err
    return place


def facts_of(folder):
    (path,) = folder.glob("*.safetensors")
    with safe_open(path, "numpy") as file:
        return json.loads(file.metadata()["about"]), list(file.keys())


def test_scores_are_shared_out_between_audio_and_text_by_encoder(mixed, tmp_path):
    words = [mixed.wav, "--prompt", "slow piano", "--explain", tmp_path]
    code, _, err = call(*mixed.predict(*words))
    assert code == 0, err
    assert "attended to and what scores from pooled embeddings consist of" in err
    about, maps = facts_of(tmp_path)
    assert set(about["models"]) == {"dora-s0"}
    assert all(name.startswith("dora-s0/") for name in maps)
    contributions = about["contributions"]
    assert set(contributions) == {"pooled_gp@logmel-s0", "pooled_ridge-s0"}
    for of_model in contributions.values():
        assert list(of_model["mi"]["contributions"]) == ["audio (logmel)"]
        assert list(of_model["ta"]["contributions"]) == [
            "audio (logmel)",
            "text (hashed_text)",
        ]


def test_contributions_add_up_to_the_score_of_the_model(mixed, tmp_path):
    table = tmp_path / "d.csv"
    words = [mixed.wav, "--prompt", "slow piano", "--explain", tmp_path / "x"]
    call(*mixed.predict(*words, "--distributions", table, "--members"))
    about, _ = facts_of(tmp_path / "x")
    row = only_row(pd.read_csv(table), model="pooled_ridge-s0")
    for aspect, found in about["contributions"]["pooled_ridge-s0"].items():
        total = found["start"] + sum(found["contributions"].values())
        assert row[aspect] == pytest.approx(min(max(total, 1), 5), abs=1e-5)


def test_an_aspect_without_its_prompt_is_left_out(mixed, tmp_path):
    code, _, err = call(*mixed.predict(mixed.wav, "--explain", tmp_path))
    assert code == 0, err
    about, _ = facts_of(tmp_path)
    assert list(about["contributions"]["pooled_ridge-s0"]) == ["mi"]


def test_no_attention_is_claimed_for_a_stack_without_any(pooled, tmp_path):
    words = [pooled.wav, "--prompt", "slow piano", "--explain", tmp_path]
    code, _, err = call(*pooled.predict(*words))
    assert code == 0, err
    assert "attended" not in err
    assert "what scores from pooled embeddings consist of in 1 clips" in err
    about, maps = facts_of(tmp_path)
    assert (about["models"], maps) == ({}, [])
    (drawn,) = tmp_path.glob("*.png")
    assert drawn.read_bytes().startswith(b"\x89PNG")


def test_the_deletion_test_leaves_models_without_attention_out(mixed, tmp_path):
    words = ["--clips", mixed.tree, "--artifacts", mixed.art]
    out = tmp_path / "out.json"
    words += ["--split", "test", "--draws", 2, "--json", out]
    code, text, err = call("evaluate_mos", "--deletion", *words)
    assert code == 0, err
    (line,) = [line for line in err.splitlines() if "pooled" in line]
    assert line == (
        "left out: 'pooled_gp@logmel-s0', 'pooled_ridge-s0': no attention, since they "
        "regress on pooled embeddings"
    )
    assert "pooled" not in text
    assert len(json.loads(out.read_text())["left_out"]) == 1


def test_the_deletion_test_refuses_a_stack_without_attention(pooled):
    words = ["--clips", pooled.tree, "--artifacts", pooled.art]
    result = call("evaluate_mos", "--deletion", *words)
    refused(2, result, "Nothing to remove: .*no attention, since they regress")


@pytest.fixture
def drawn(mixed, monkeypatch):
    """A drawer of pictures, that returns the figure."""
    figures = []
    save = Figure.savefig
    monkeypatch.setattr(
        Figure,
        "savefig",
        lambda self, *a, **k: (figures.append(self), save(self, *a, **k)),
    )

    def draw(contributions):
        picture("clip", str(mixed.wav), [], contributions)
        return figures[-1]

    return draw


def test_the_picture_has_a_row_of_bars_per_model_and_names_the_encoders(drawn):
    of_clip = []
    for name, encoder in (("a $x$", "e1"), ("b" * 60, "e2")):
        parts = {f"audio ({encoder})": 0.5, "text (t)": -1}
        found = BlockContributions("ta", 3.0, parts)
        of_clip.append(ModelContributions(name, (found,)))
    figure = drawn(of_clip)
    bars = figure.axes[-1]
    lengths = [patch.get_width() for patch in bars.patches]
    assert lengths == [0.5, -1, 0.5, -1]
    legend = [text.get_text() for text in bars.get_legend().get_texts()]
    assert legend == ["audio (e1)", "text (t)", "audio (e2)"]
    ticks = [label.get_text() for label in bars.get_yticklabels()]
    assert ticks == ["a $x$", "b" * 29 + "…"]
    assert "3.00 → 2.50" in {text.get_text() for text in bars.texts}
    assert "attention" not in bars.get_title(loc="left")


def test_bars_of_one_side_do_not_overlap(drawn):
    parts = {"audio (e)": 0.5, "text (t)": 0.25, "audio and text (e, t)": -0.25}
    model = ModelContributions("m", (BlockContributions("ta", 3.0, parts),))
    patches = drawn([model]).axes[-1].patches
    assert [(patch.get_x(), patch.get_width()) for patch in patches] == [
        (0, 0.5),
        (0.5, 0.25),
        (0, -0.25),
    ]
