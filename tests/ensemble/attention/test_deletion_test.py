"""Laws of the deletion test: planted attention is found, attention that means nothing
is not, nothing is invented.
"""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from commands import call, refused
from torch import nn

from base_models.config import BaseConfig
from base_models.encoders import load_encoder
from base_models.encoders.store import EmbeddingStore
from base_models.encoders.text.hashed_text import word_vectors
from base_models.errors import UsageError
from base_models.networks.co_attention import SequenceCoAttention
from base_models.networks.layers import AttentionPooling
from base_models.networks.models import (
    AudioBranch,
    CoAttention,
    DualBranch,
    PooledHeads,
)
from base_models.training.neural_mos import NeuralMOS
from ensemble.attention.deletion_table import EVEN
from ensemble.attention.deletion_test import MEAN, deletion_test
from ensemble.estimator.stacked_mos import StackedMOS

RATE, N, SYSTEMS = 24_000, 24, 6
WORDS = ["slow", "piano", "with", "soft", "rain", "and", "sad", "violin", "strings"]


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Clips of quiet noise with one burst of 0.4 s; prompts of seven words, one of them
    ``loud``.
    """
    folder, rng, rows = tmp_path_factory.mktemp("clips"), np.random.default_rng(0), []
    for k in range(N):
        sound = 0.01 * rng.normal(size=2 * RATE)
        at = rng.integers(0, 2 * RATE - 9_600)
        sound[at : at + 9_600] *= 20
        soundfile.write(folder / f"{k}.wav", sound, RATE)
        words = rng.permutation(WORDS)[:6].tolist()
        words.insert(rng.integers(7), "loud")
        rows.append(
            (f"c{k}", f"s{k % SYSTEMS}", " ".join(words), str(folder / f"{k}.wav"))
        )
    return pd.DataFrame(rows, columns=["clip_id", "system_id", "prompt", "audio"])


@pytest.fixture(scope="module")
def even_clips(tmp_path_factory):
    """Clips of even noise, and prompts of seven words that no other clip has: no place
    and no word is special.
    """
    folder, rng, rows = tmp_path_factory.mktemp("even"), np.random.default_rng(1), []
    for k in range(N):
        soundfile.write(folder / f"{k}.wav", 0.05 * rng.normal(size=2 * RATE), RATE)
        prompt = " ".join(
            "".join(rng.choice(list("abcdefghijklmnop"), 6)) for _ in range(7)
        )
        rows.append((f"c{k}", f"s{k % SYSTEMS}", prompt, str(folder / f"{k}.wav")))
    return pd.DataFrame(rows, columns=["clip_id", "system_id", "prompt", "audio"])


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return EmbeddingStore(tmp_path_factory.mktemp("store"))


class AsTheyAre(nn.Module):
    """No temporal block."""

    def forward(self, frames, mask):
        return frames


def facts_of(encoder):
    """What a fitted model keeps of an encoder."""
    return {"name": encoder, "signature": load_encoder(encoder).signature}


def model(network, aspect, text):
    """A base model around a network made by hand, whose one output is the score minus
    3.
    """
    made = NeuralMOS(
        BaseConfig(criterion="l1"), None, "logmel", "hashed_text", device="cpu"
    )
    made.config_, made.aspects_, made.needs_text_ = made.preset, (aspect,), (text,)
    made.encoders_ = {"audio": facts_of("logmel")}
    made.scales_ = {}
    made.encoders_ |= {"text": facts_of("hashed_text")}
    made.model_, made.trained_on_, made.selected_on_ = (
        network.eval(),
        frozenset(),
        frozenset(),
    )
    return made


def stack(**models):
    made = StackedMOS()
    made.estimators_, made.aspects_ = (
        list(models.items()),
        tuple(dict.fromkeys(m.aspects_[0] for m in models.values())),
    )
    return made


def linear(weight):
    made = nn.Linear(len(weight), 1)
    made.weight.data, made.bias.data = (
        torch.as_tensor(weight).float()[None],
        torch.zeros(1),
    )
    return made


def loudness(scale):
    return torch.cat([torch.full((64,), scale / 64), torch.zeros(64)])


def of_seconds(planted, seed=0):
    """Scores the level of what it attends to: the burst, or frames of random slopes."""
    slopes = torch.cat(
        [
            torch.zeros(64),
            torch.randn(64, generator=torch.Generator().manual_seed(seed)) / 20,
        ]
    )
    pool = AttentionPooling(128)
    pool.score = linear(loudness(8.0) if planted else slopes)
    return model(
        DualBranch(
            AsTheyAre(), [AudioBranch(pool, nn.Sequential(linear(loudness(0.7))))]
        ),
        "mi",
        False,
    )


def of_words(planted, seed=0):
    """Scores what each frame finds among the tokens: ``loud``, or a random mixture."""
    loud = torch.tensor(word_vectors("loud")[0])
    attention = SequenceCoAttention(128, 1)
    generator = torch.Generator().manual_seed(seed)
    query = loud if planted else torch.randn(128, generator=generator) / 8
    eye, none = torch.eye(128), torch.zeros(128)
    part = attention.audio
    part.in_proj_weight.data = torch.cat([torch.zeros(128, 128), eye, eye])
    part.in_proj_bias.data = torch.cat([query * 0.6, none, none])
    part.out_proj.weight.data, part.out_proj.bias.data = eye, none
    reads = loud if planted else torch.randn(128, generator=generator)
    head = nn.Sequential(linear(torch.cat([reads / 100, none])))
    return model(CoAttention([head], [True], nn.Identity(), attention), "ta", True)


def run(clips, store, models, **options):
    return deletion_test(stack(**models), clips, store, **options)


def row(found, name):
    return found.table.set_index("model").loc[name]


# what it finds


@pytest.mark.parametrize(
    ("make", "removed"), [(of_seconds, "seconds"), (of_words, "words")]
)
def test_planted_attention_is_found(make, removed, clips, store):
    found = row(run(clips, store, {"planted": make(True)}), "planted")
    assert found["verdict"] == "more"
    assert found["removed"] == removed
    assert found["attended"] > 2 * found["random"] > 0
    assert found["difference_low"] > 0.1
    assert (found["clips"], found["systems"]) == (N, SYSTEMS)
    assert found["difference"] == pytest.approx(found["attended"] - found["random"])


@pytest.mark.parametrize("make", [of_seconds, of_words])
def test_attention_that_means_nothing_is_not(make, even_clips, store):
    verdicts = [
        row(run(even_clips, store, {"idle": make(False, seed)}), "idle")["verdict"]
        for seed in range(5)
    ]
    assert not {"more", "less"} & set(verdicts), verdicts


def test_attention_beside_the_point_moves_the_score_less(clips, store):
    """The pooling looks away from the burst, and the burst is all that its score would
    be moved by.
    """
    away = of_seconds(True)
    branch = away.model_.branches[0]
    branch.pool.score = linear(-0.3 * loudness(1.0))
    found = row(run(clips, store, {"away": away}), "away")
    assert found["verdict"] == "less"
    assert found["difference_high"] < 0


def test_the_models_have_a_mean_over_the_clips_of_all(clips, store):
    found = run(
        clips,
        store,
        {"a": of_seconds(True), "b": of_seconds(False), "c": of_words(True)},
    )
    seconds = found.table[found.table["removed"] == "seconds"].set_index("model")
    assert list(seconds.index) == ["a", "b", MEAN]
    assert seconds.loc[MEAN, "attended"] == pytest.approx(
        seconds.loc[["a", "b"], "attended"].mean()
    )
    assert (
        MEAN not in found.table.loc[found.table["removed"] == "words", "model"].tolist()
    )


def test_a_model_without_attention_is_left_out_by_name(clips, store):
    plain = model(
        PooledHeads([nn.Sequential(linear(loudness(1.0)))], [False]), "mi", False
    )
    found = run(clips, store, {"plain": plain, "planted": of_seconds(True)})
    assert found.left_out == (
        "plain, mi: the frames are averaged: no attention over time",
    )
    assert found.table["model"].tolist() == ["planted"]
    with pytest.raises(
        UsageError, match="Nothing to remove: plain, mi: the frames are averaged"
    ):
        run(clips, store, {"plain": plain})


# how it is measured


def test_a_change_is_that_of_the_score_without_the_stretch(clips, store):
    """By hand, for one clip: every stretch there is, so that nothing is drawn."""
    made, one = of_seconds(True), clips.iloc[[3]]
    found = row(run(one, store, {"m": made}, draws=1000), "m")
    made.store = store
    frames = made.embed(one)[1].frames[0].astype(np.float32)
    length = round(0.2 * len(frames))

    def score(x):
        weights = np.exp(x[:, :64].mean(1) * 8)
        return 3 + 0.7 * (weights / weights.sum()) @ x[:, :64].mean(1)

    weights = np.exp(frames[:, :64].mean(1) * 8)
    starts = range(len(frames) - length + 1)
    moved = [
        abs(score(np.delete(frames, range(s, s + length), 0)) - score(frames))
        for s in starts
    ]
    most = int(np.argmax([weights[s : s + length].sum() for s in starts]))
    assert found["attended"] == pytest.approx(moved[most], abs=1e-4)
    assert found["random"] == pytest.approx(np.mean(np.delete(moved, most)), abs=1e-4)
    assert np.isnan(found["difference_low"])
    assert found["verdict"] == "no difference shown"


def test_the_numbers_depend_neither_on_the_order_of_clips_nor_on_who_else_is_there(
    clips, store
):
    models = {"a": of_seconds(True), "b": of_words(False)}
    first = run(clips, store, models).table
    turned = run(clips.iloc[::-1], store, models).table
    pd.testing.assert_frame_equal(first, turned, rtol=1e-4)
    alone = run(clips, store, {"b": of_words(False)}).table
    assert alone["random"].iloc[0] == pytest.approx(first["random"].iloc[1], rel=1e-4)


def test_nothing_is_written_to_the_store_for_a_shortened_prompt(clips, tmp_path):
    run(clips.iloc[:3], EmbeddingStore(tmp_path), {"m": of_words(True)})
    assert len(list(tmp_path.rglob("*.safetensors"))) == 6


def test_without_systems_clips_are_the_units_and_no_systems_are_counted(clips, store):
    found = run(clips.drop(columns="system_id"), store, {"m": of_seconds(True)})
    assert row(found, "m")["systems"] == 0
    assert "(24 clips, attention on" in next(found.sentences())


def test_clips_of_even_attention_are_left_out_and_counted(clips, store):
    even = of_seconds(True)
    even.model_.branches[0].pool.score = linear(loudness(0.0))
    found = run(clips, store, {"even": even, "planted": of_seconds(True)})
    assert row(found, "even")[["verdict", "clips", "flat"]].tolist() == [EVEN, 0, N]
    assert row(found, "even")["attended_share"] == pytest.approx(
        row(found, "even")["even_share"]
    )
    assert row(found, MEAN)["clips"] == 0
    assert (
        row(found, "planted")["attended_share"]
        > 2 * row(found, "planted")["even_share"]
    )
    said = list(found.sentences())
    assert said[0].startswith(
        f"even, mi: {EVEN} (0 clips, 24 of even attention left out, attention on the "
    )


# what cannot be used


def test_clips_that_are_broken_too_short_or_without_prompt_are_set_aside(
    clips, store, tmp_path
):
    broken = clips.iloc[:5].copy()
    (tmp_path / "no.wav").write_bytes(b"no")
    soundfile.write(
        tmp_path / "tick.wav", 0.01 * np.random.default_rng(0).normal(size=2_600), RATE
    )  # one frame
    broken.iloc[0, 3] = str(tmp_path / "no.wav")
    broken.iloc[1, 3] = str(tmp_path / "tick.wav")
    broken.iloc[2, 2] = "loud"
    broken.iloc[3, 2] = " "
    found = run(broken, store, {"a": of_seconds(True), "b": of_words(True)})
    assert {
        clip.clip_id: clip.reason.split(":")[-1].strip() for clip in found.set_aside
    } == {
        "c0": "not audio of a known kind (WAV, RF64, W64, FLAC, OGG, MP3, AIFF, CAF, "
        "AU, NIST, VOC, SVX or AVR), by its first bytes",
        "c1": "too short to remove seconds for mi",
        "c2": "too short to remove words for ta",
        "c3": "no prompt to remove words from for ta",
    }
    assert row(found, "a")["clips"] == 3
    assert row(found, "b")["clips"] == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"share": 0.0}, "must lie between 0 and 1; got 0.0"),
        ({"share": 1.0}, "must lie between 0 and 1"),
        ({"level": 95}, "must lie between 0 and 1; got 0.2 and 95"),
        ({"draws": 0}, "At least one random draw is needed; got 0"),
    ],
)
def test_a_number_that_is_off_is_refused(options, message, clips, store):
    with pytest.raises(UsageError, match=message):
        run(clips.iloc[:2], store, {"m": of_seconds(True)}, **options)


# the command


FINISHED_MODELS = ("dora:1", "dora_mean:1")


def test_the_command_says_it_in_words_and_in_json(place):
    report, options = place.tmp / "d.json", ["--split", "test", "--draws", "3"]
    words = [
        "evaluate_mos",
        "--deletion",
        "--clips",
        place.tree,
        "--artifacts",
        place.art,
        *options,
    ]
    code, out, err = call(*words, "--json", report, "--csv", place.tmp / "d.csv")
    assert code == 0, err
    assert [line.split(":")[0] for line in out.splitlines()] == [
        "dora-s0, mi",
        "dora-s0, ta",
    ]
    assert "removing the most attended 20% of the seconds moves the score by " in out
    assert "left out: dora_mean-s0, ta: the tokens are averaged" in err
    facts = json.loads(report.read_text())
    table = pd.read_csv(place.tmp / "d.csv")
    assert (
        [r["aspect"] for r in facts["deletion"]]
        == table["aspect"].tolist()
        == ["mi", "ta"]
    )
    assert facts["deletion"][0]["clips"] == 8
    assert (facts["draws"], facts["share"], facts["split"], facts["trained_on"]) == (
        3,
        0.2,
        "test",
        0,
    )
    assert "trained on" not in err


def test_unlabelled_clips_will_do(place):
    table = place.csv(
        lambda t: t[["clip_id", "audio"]].head(4).assign(prompt="slow piano with drums")
    )
    words = ["evaluate_mos", "--deletion", "--clips", table, "--artifacts", place.art]
    code, out, err = call(*words)
    assert code == 0, err
    assert "dora-s0, mi: removing" in out
    assert "(4 clips, attention on" in out
    assert "note: 4 of 4 clips were trained on" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--deletion"], "--deletion takes a table with --clips"),
        (
            ["--deletion", "p.csv", "l.csv", "--clips", "c.csv"],
            "and no predictions or labels",
        ),
        (
            ["--deletion", "--clips", "c.csv", "--ratings", "r.csv"],
            "--ratings is for predictions; leave it out of --deletion",
        ),
        (
            ["--deletion", "--clips", "c.csv", "--rating-scale", "1", "5"],
            "--rating-scale is for predictions; leave it out of --deletion",
        ),
        (
            ["--deletion", "--clips", "c.csv", "--bootstrap", "50"],
            "--bootstrap is for predictions; leave it out of --deletion",
        ),
        (
            ["p.csv", "l.csv", "--clips", "c.csv"],
            "--clips is for --deletion; leave it out",
        ),
        (["p.csv", "l.csv", "--share", "0.2"], "--share is for --deletion"),
        (["p.csv", "l.csv", "--draws", "10"], "--draws is for --deletion"),
        (["p.csv", "l.csv", "--stack", "s"], "--stack is for --deletion"),
        (["p.csv"], "Name files of predictions and then the labels; or --deletion"),
        (["--deletion", "--clips", "none.csv"], "none.csv"),
    ],
)
def test_a_call_that_mixes_the_two_uses_is_refused(words, message, place):
    refused(2, call("evaluate_mos", *words, "--artifacts", place.art), message)
